"""What every provider does with a question to a model, and with what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest
from sandboxes import MODEL, InProcess

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.errors import (
    AuthenticationFailed,
    ProviderUnavailable,
    RateLimited,
    RemoteNotFound,
    RequestRejected,
)
from orchestrator.core.inference import ChatQuestion, ChatReply, ModelAddress, OptionalParameter
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.base import ChatProvider
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.redaction import redact_provider
from orchestrator.providers.registry import ProviderRegistry

KEY = "sandbox-acme_canary-key-4711"
AWS_KEY = json.dumps({"AccessKeyId": "AKIA0123456789", "SecretAccessKey": "canary" * 5})
QUESTION = ChatQuestion(messages=[{"role": "user", "content": "Is it late?"}], max_output_tokens=40, top_logprobs=3)
ADDRESS = ModelAddress(base_url="https://models.example/v1", model="ft:small:acme")
PROVIDERS = [name for name in ProviderName if name not in {ProviderName.VERTEX, ProviderName.BEDROCK}]


class ChatServer:
    """Answers questions; `respond` may be replaced."""

    def __init__(self, respond: Callable[[dict[str, Any]], httpx2.Response] | None = None) -> None:
        self.requests: list[httpx2.Request] = []
        self.respond = respond or (lambda _: complete("No."))

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.respond(json.loads(request.content))

    def connect(self, name: ProviderName) -> ChatProvider:
        redact = Redactor()
        secret = Secret(AWS_KEY if name is ProviderName.BEDROCK else KEY)
        redact.add(secret)
        registry = ProviderRegistry(HttpClient(httpx2.MockTransport(self.handle)), redact)
        account = Account(
            name="acme", provider=name, api_key="env:KEY", base_url="https://api.example/v1", organization="acme"
        )
        provider: Any = redact_provider(registry.get_factory(name)(account, secret), redact)
        return provider  # type: ignore[no-any-return]


def complete(text: str | None, reason: str = "stop", **headers: str) -> httpx2.Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
    body = {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    return httpx2.Response(200, json=body, headers={"x-request-id": "req-1"} | headers)


def refuse(status: int, code: str, message: str = "no", **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json={"error": {"code": code, "message": message}}, headers=headers)


async def ask(
    server: ChatServer, name: ProviderName, left_out: frozenset[OptionalParameter] | None = None
) -> ChatReply:
    return await server.connect(name).ask(ADDRESS, QUESTION, left_out)


@pytest.mark.parametrize("name", PROVIDERS)
async def test_question_is_sent_once_to_the_address_of_the_model(name: ProviderName) -> None:
    server = ChatServer()
    reply = await ask(server, name)
    (request,) = server.requests
    assert (request.method, str(request.url)) == ("POST", "https://models.example/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    (body,) = server.bodies
    assert body["model"] == "ft:small:acme"
    assert body["messages"] == QUESTION.messages
    assert body["temperature"] <= 0.01
    assert {body.get("max_tokens"), body.get("max_completion_tokens")} == {40, None}
    assert (reply.outcome, reply.text, reply.request_id) == (AnswerOutcome.ANSWERED, "No.", "req-1")
    assert (reply.prompt_tokens, reply.output_tokens, reply.left_out) == (7, 2, frozenset())


@pytest.mark.parametrize("name", PROVIDERS)
async def test_refused_parameter_is_left_out_of_the_first_question_only(name: ProviderName) -> None:
    def respond(body: dict[str, Any]) -> httpx2.Response:
        return refuse(400, "unsupported_parameter") if "logprobs" in body else complete("No.")

    server = ChatServer(respond)
    reply = await ask(server, name)
    assert reply.left_out == {OptionalParameter.LOGPROBS}
    sent = len(server.requests)
    assert (await ask(server, name, reply.left_out)).left_out == reply.left_out
    assert len(server.requests) == sent + 1
    with pytest.raises(RequestRejected):
        await ask(server, name, frozenset())
    assert len(server.requests) == sent + 2


@pytest.mark.parametrize("name", PROVIDERS)
async def test_filtered_prompt_is_a_reply(name: ProviderName) -> None:
    code = "DataInspectionFailed" if name is ProviderName.DASHSCOPE else "content_filter"
    server = ChatServer(lambda _: refuse(400, code))
    assert (await ask(server, name)).outcome is AnswerOutcome.FILTERED_PROMPT
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize(
    ("response", "error"),
    [
        (refuse(401, "invalid_api_key"), AuthenticationFailed),
        (refuse(404, "model_not_found"), RemoteNotFound),
        (refuse(429, "rate_limit_exceeded", **{"retry-after": "7"}), RateLimited),
        (refuse(503, "overloaded"), ProviderUnavailable),
        (httpx2.Response(200, content=b"<html>"), ProviderUnavailable),
        (httpx2.Response(200, json={"choices": []}), ProviderUnavailable),
        (httpx2.Response(204), ProviderUnavailable),
        (httpx2.Response(302, headers={"location": "https://elsewhere.example"}), ProviderUnavailable),
    ],
    ids=["401", "404", "429", "503", "html", "no choice", "204", "302"],
)
async def test_failed_call_is_an_error_and_sent_once(
    name: ProviderName, response: httpx2.Response, error: type[Exception]
) -> None:
    server = ChatServer(lambda _: response)
    with pytest.raises(error):
        await ask(server, name)
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", PROVIDERS)
async def test_long_text_is_kept_and_an_echoed_key_is_not(name: ProviderName) -> None:
    text = "word " * 2_000
    assert (await ask(ChatServer(lambda _: complete(text)), name)).text == text
    reply = await ask(ChatServer(lambda _: complete(f"The key is {KEY}.")), name)
    assert "canary" not in reply.text
    with pytest.raises(RequestRejected) as error:
        await ask(ChatServer(lambda _: refuse(400, "bad", f"key {KEY}")), name)
    assert "canary" not in str(error.value)


async def test_sandbox_is_asked() -> None:
    sandbox = InProcess()
    redact, secret = Redactor(), Secret("sandbox-acme")
    registry = ProviderRegistry(HttpClient(httpx2.ASGITransport(sandbox.app)), redact)
    account = Account(
        name="acme", provider=ProviderName.OPENAI_COMPATIBLE, api_key="env:KEY", base_url="http://localhost/v1"
    )
    provider: Any = registry.get_factory(account.provider)(account, secret)
    address = ModelAddress(base_url="http://localhost/v1", model=MODEL)
    reply = await provider.ask(address, QUESTION, None)
    assert reply.outcome is AnswerOutcome.ANSWERED
    assert reply.text
    assert reply.mean_logprob == pytest.approx(-0.693147)
    assert reply.left_out == frozenset()


CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "No."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 7, "outputTokens": 2},
}
GENERATED = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "No."}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 2},
}
ARN = "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/abcdefghijkl"
ENDPOINT = "projects/123/locations/us-central1/endpoints/456"


@pytest.mark.parametrize(
    ("name", "model", "answer", "path"),
    [
        (ProviderName.BEDROCK, ARN, CONVERSE, f"/model/{ARN}/converse"),
        (ProviderName.VERTEX, ENDPOINT, GENERATED, f"/v1/{ENDPOINT}:generateContent"),
    ],
)
async def test_shapes_of_their_own(name: ProviderName, model: str, answer: dict[str, Any], path: str) -> None:
    def respond(body: dict[str, Any]) -> httpx2.Response:
        options = body.get("inferenceConfig") or body["generationConfig"]
        if "topP" in options:
            return httpx2.Response(400, json={"error": {"message": "topP is not supported"}})
        return httpx2.Response(200, json=answer)

    server = ChatServer(respond)
    address = ModelAddress(base_url="https://models.example", model=model)
    reply = await server.connect(name).ask(address, QUESTION, None)
    assert {(each.method, unquote(each.url.raw_path.decode())) for each in server.requests} == {("POST", path)}
    assert (reply.outcome, reply.text) == (AnswerOutcome.ANSWERED, "No.")
    assert (reply.prompt_tokens, reply.output_tokens) == (7, 2)
    assert OptionalParameter.TOP_P in reply.left_out
    sent = len(server.requests)
    await server.connect(name).ask(address, QUESTION, reply.left_out)
    assert len(server.requests) == sent + 1


@pytest.mark.parametrize("name", [ProviderName.BEDROCK, ProviderName.VERTEX])
async def test_malformed_answer_of_another_shape_is_an_error(name: ProviderName) -> None:
    server = ChatServer(lambda _: httpx2.Response(200, json={"error": "busy"}))
    address = ModelAddress(base_url="https://models.example", model=ARN)
    with pytest.raises(ProviderUnavailable):
        await server.connect(name).ask(address, QUESTION, None)
