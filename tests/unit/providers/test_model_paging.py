"""A list of models with more than one page: a base model on a later page is not unknown."""

from __future__ import annotations

import httpx2
import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ProviderUnavailable
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.planning.base_models import fetch_base_models
from orchestrator.providers.base import Provider, ProviderConnection
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai.openai_provider import build_provider_factory

ACCOUNT = Account(
    name="acme", provider=ProviderName.OPENAI_COMPATIBLE, api_key="env:KEY", base_url="https://far.example/v1"
)


class Server:
    """A server with six models and no page for each of them. `announces` is whether it says that a page follows."""

    def __init__(self, *, announces: bool = True, follows_cursor: bool = True) -> None:
        self.requests: list[dict[str, str]] = []
        self._announces = announces
        self._follows_cursor = follows_cursor

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path != "/v1/models":
            return httpx2.Response(404, json={"error": {"message": "no such path"}})
        query = dict(request.url.params)
        self.requests.append(query)
        if not self._announces:
            return httpx2.Response(200, json={"data": [{"id": f"model-{n}"} for n in range(6)]})
        start = int(query["after"].removeprefix("model-")) + 1 if "after" in query and self._follows_cursor else 0
        page = [{"id": f"model-{n}"} for n in range(start, start + 2)]
        return httpx2.Response(200, json={"data": page, "has_more": start + 2 < 6})


async def test_every_announced_page_of_models_is_read() -> None:
    server = Server()
    async with HttpClient(httpx2.MockTransport(server)) as http:
        assert await provider(http).list_models() == [f"model-{n}" for n in range(6)]
    assert server.requests == [{}, {"after": "model-1"}, {"after": "model-3"}]


async def test_a_list_of_models_without_pages_is_read_once_and_without_parameters() -> None:
    """Most servers give the whole list, and a strict one could refuse a parameter that it does not know."""
    server = Server(announces=False)
    async with HttpClient(httpx2.MockTransport(server)) as http:
        assert len(await provider(http).list_models()) == 6
    assert server.requests == [{}]


async def test_a_list_of_models_that_repeats_itself_is_no_answer() -> None:
    async with HttpClient(httpx2.MockTransport(Server(follows_cursor=False))) as http:
        with pytest.raises(ProviderUnavailable, match="repeats itself"):
            await provider(http).list_models()


@pytest.mark.parametrize(("model", "is_known"), [("model-1", True), ("model-5", True), ("model-7", False)])
async def test_a_base_model_is_unknown_only_if_no_page_lists_it(model: str, is_known: bool) -> None:
    async with HttpClient(httpx2.MockTransport(Server())) as http:
        connection = ProviderConnection(account=ACCOUNT, provider=provider(http), key_fingerprint="0" * 8)
        specs = {ACCOUNT.provider: TrainingSpec(base_model=model)}
        found = await fetch_base_models([ACCOUNT], specs, {ACCOUNT.name: connection})
    assert (ACCOUNT.provider not in found.unknown) is is_known


def provider(http: HttpClient) -> Provider:
    return build_provider_factory(http, Redactor())(ACCOUNT, Secret("key-of-acme"))
