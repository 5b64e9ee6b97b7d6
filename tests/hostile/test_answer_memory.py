"""How much memory and time answers of a provider can take: bounded for one answer, and for all pages of a list."""

from __future__ import annotations

import gc
import json
import resource
from pathlib import Path
from typing import Any

import httpx2
import pytest
from dialects import BENCHES, connect_to_raw_server, order_for
from provider_bench import DashScopeBench, OpenAIBench, ProviderBench, VertexBench
from raw_server import http_answer

from orchestrator.core.errors import ProviderUnavailable, UnknownOutcome
from orchestrator.providers.http.client import HttpClient

MEGABYTE = 1 << 20
LONG_TEXT = "x" * 15 * MEGABYTE
PAGED: list[type[ProviderBench]] = [OpenAIBench, DashScopeBench, VertexBench]


class EndlessPages:
    """A list of jobs without end, one on each page, with something in a field that may have any type."""

    def __init__(self, bench: ProviderBench, extra: Any, last: int) -> None:
        self.pages = 0
        self._last = last  # after so many pages the server fails
        self.alive: list[int] = []  # marked objects in memory, before each page
        self._bench = bench
        self._extra = extra
        bench.http = HttpClient(httpx2.MockTransport(self))
        bench.connect = bench.connector()(bench.http, bench.redact)

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if "/files" in request.url.path:
            return httpx2.Response(200, json={"data": {"files": [], "total": 0, "page_size": 100}})
        if self.pages == self._last:
            return httpx2.Response(503)
        self.alive.append(sum(type(each) is dict and "marker" in each for each in gc.get_objects()))
        self.pages += 1
        return httpx2.Response(200, content=json.dumps(self._build_page(f"job-{self.pages}")).encode())

    def _build_page(self, name: str) -> dict[str, Any]:
        if isinstance(self._bench, VertexBench):
            spec = {"trainingDatasetUri": "gs://b/f", "hyperParameters": self._extra}
            job: dict[str, Any] = {"name": f"projects/1/tuningJobs/{name}", "supervisedTuningSpec": spec}
            return {"tuningJobs": [job], "nextPageToken": name}
        if isinstance(self._bench, DashScopeBench):
            job = {"job_id": name, "status": "RUNNING", "training_file_ids": ["f"], "hyper_parameters": self._extra}
            return {"output": {"jobs": [job], "total": 100_000, "page_size": 1}}
        job = {"id": name, "status": "running", "model": "m", "training_file": "f", "metadata": {"a": "b"}}
        return {"object": "list", "data": [job | {"hyperparameters": self._extra}], "has_more": True}


@pytest.fixture(params=PAGED, ids=lambda bench: str(bench.name))
def paged(request: pytest.FixtureRequest, tmp_path: Path) -> ProviderBench:
    made: ProviderBench = request.param(tmp_path)
    return made


async def test_list_with_large_pages_ends(paged: ProviderBench) -> None:
    pages = EndlessPages(paged, {"text": LONG_TEXT}, last=10)
    with pytest.raises(ProviderUnavailable, match="larger than 64 MiB"):
        await paged.provider().find_jobs(order_for(paged))
    assert pages.pages <= 6


async def test_unused_fields_are_not_kept_until_the_last_page(paged: ProviderBench) -> None:
    items = 5_000
    pages = EndlessPages(paged, {"a": [{"marker": [1]} for _ in range(items)]}, last=6)
    before = sum(type(each) is dict and "marker" in each for each in gc.get_objects())
    with pytest.raises(ProviderUnavailable, match="503"):
        await paged.provider().find_jobs(order_for(paged))
    assert max(pages.alive) - before <= 2 * items, "the objects of more than the last page are alive"


@pytest.mark.parametrize("bench_type", BENCHES, ids=lambda bench: str(bench.name))
async def test_answer_of_many_small_values_is_not_decoded(bench_type: type[ProviderBench], tmp_path: Path) -> None:
    bench = bench_type(tmp_path)
    body = b'{"id": [' + b"[]," * (15 * MEGABYTE // 3) + b"0]}"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with connect_to_raw_server(bench, http_answer(body)) as provider:
        with pytest.raises(ProviderUnavailable, match="more than 1,000,000 values"):
            await provider.get_job("ft-1")
        with pytest.raises(UnknownOutcome, match="more than 1,000,000 values"):
            await provider.create_job(order_for(bench), bench.deadline())
    async with connect_to_raw_server(bench, http_answer(body, status="400 Bad Request")) as provider:
        with pytest.raises(ProviderUnavailable, match="more than 1,000,000 values"):
            await provider.get_job("ft-1")
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 150 * MEGABYTE
