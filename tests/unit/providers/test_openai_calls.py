from typing import Any
from urllib.parse import unquote

import httpx2
import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import MAX_MESSAGE_LENGTH, ProviderError
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai.openai_provider import OpenAIProvider, build_provider_factory
from orchestrator.providers.together import together_provider

JOB = {"id": "ftjob-1", "status": "running", "model": "m", "training_file": "file-1"}


class Server:
    """Answers every call with the running job that it is about, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[httpx2.Request] = []
        self.connect = build_provider_factory(HttpClient(httpx2.MockTransport(self._answer)), Redactor())

    def provider(self, name: str, **known: Any) -> OpenAIProvider:
        account = Account(name=name, provider=ProviderName.OPENAI, api_key="env:KEY", **known)
        provider = self.connect(account, Secret(f"key-of-{name}"))
        assert isinstance(provider, OpenAIProvider)
        return provider

    @property
    def callers(self) -> list[tuple[str | None, ...]]:
        """Key, organisation and project of each call."""
        names = ("authorization", "openai-organization", "openai-project")
        return [tuple(asked.headers.get(name) for name in names) for asked in self.asked]

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        about = unquote(request.url.raw_path.decode().removesuffix("/cancel").rpartition("/")[2])
        return httpx2.Response(200, json=JOB | {"id": about})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("OPENAI_API_KEY", "somebody")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-somebody")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-somebody")
    return Server()


async def test_call_uses_the_account_key_with_and_without_the_sdk(server: Server) -> None:
    one, other = server.provider("one", organization="org-1", project="proj-1"), server.provider("other")
    await one.cancel_job("ftjob-1")  # by the SDK, and then a read without it
    await other.cancel_job("ftjob-1")
    first, second = ("Bearer key-of-one", "org-1", "proj-1"), ("Bearer key-of-other", None, None)
    assert server.callers == [first, first, second, second]


async def test_a_read_is_what_the_sdk_would_send_and_no_more(server: Server) -> None:
    provider = server.provider("one", base_url="https://far.example/v1/")
    await provider.get_job("ftjob/1?")
    [asked] = server.asked
    assert (asked.method, str(asked.url)) == ("GET", "https://far.example/v1/fine_tuning/jobs/ftjob%2F1%3F")
    assert asked.headers["user-agent"].startswith("AsyncOpenAI/")


async def test_url_with_non_ascii_letters_is_encoded(server: Server) -> None:
    await server.provider("one", base_url="https://far.example/für uns/v1").get_job("ftjob-1")
    assert server.asked[0].url.raw_path == b"/f%C3%BCr%20uns/v1/fine_tuning/jobs/ftjob-1"


@pytest.mark.parametrize("provider", [ProviderName.OPENAI, ProviderName.TOGETHER])
async def test_long_error_message_is_truncated_without_a_partial_key(
    provider: ProviderName,
) -> None:
    class Cutting(Redactor):
        def __call__(self, text: str) -> str:
            raise AssertionError("the whole message was read")

    key = "sk-canary-0123456789"
    redact = Cutting()
    redact.add(Secret(key))
    account = Account(name="one", provider=provider, api_key="env:KEY")
    for place in (MAX_MESSAGE_LENGTH - 25, MAX_MESSAGE_LENGTH - 15, 5_000_000):
        error = {"error": {"message": "x" * place + key + "y" * 1000}}
        transport = httpx2.MockTransport(lambda _, error=error: httpx2.Response(400, json=error))
        connect = {
            ProviderName.OPENAI: build_provider_factory,
            ProviderName.TOGETHER: together_provider.build_provider_factory,
        }[provider]
        with pytest.raises(ProviderError) as caught:
            await connect(HttpClient(transport), redact)(account, Secret(key)).get_job("ftjob-1")
        message = caught.value.message
        assert len(message) <= MAX_MESSAGE_LENGTH
        assert "xxxx" in message
        assert "sk-" not in message
