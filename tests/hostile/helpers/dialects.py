"""Every dialect of a provider, with its stand-in or with a server that a test controls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from provider_bench import (
    TAG,
    AzureBench,
    BedrockBench,
    CompatibleBench,
    DashScopeBench,
    FireworksBench,
    MantleBench,
    NebiusBench,
    OpenAIBench,
    ProviderBench,
    TogetherBench,
    VertexBench,
)
from raw_server import RawAnswer, http_answer, serve_raw

from orchestrator.providers.base import JobOrder, Provider
from orchestrator.providers.http.client import create_http_client

BENCHES: list[type[ProviderBench]] = [
    OpenAIBench, CompatibleBench, AzureBench, NebiusBench, MantleBench, TogetherBench, FireworksBench, DashScopeBench,
    VertexBench, BedrockBench,
]  # fmt: skip

# What comes before a creation and costs nothing: if it failed, the creation would not be sent.
BEFORE_CREATE = {b"/fine-tunes/estimate-price": http_answer()}


@asynccontextmanager
async def connect_to_raw_server(bench: ProviderBench, answer: RawAnswer) -> AsyncIterator[Provider]:
    """Yield a provider whose every request goes over a socket to a server with this answer."""
    async with serve_raw(answer, BEFORE_CREATE) as url, create_http_client(5) as http:
        changed = {
            name: url if name.endswith("_url") else value for name, value in type(bench).account_options.items()
        }
        bench.base_url = url + urlsplit(bench.base_url).path  # type: ignore[misc]
        bench.account_options = changed  # type: ignore[misc]
        bench.connect = bench.connector()(http, bench.redact)
        yield bench.provider()


def order_for(bench: ProviderBench) -> JobOrder:
    """Return an order on a file that nobody has uploaded."""
    return JobOrder(tag=TAG, spec=bench.spec(), training_file="file-1", validation_file=None)
