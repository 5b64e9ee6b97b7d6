"""The log-probability of a reference answer, as Together reports it with the echo of a prompt."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ProviderUnavailable, RequestRejected
from orchestrator.core.inference import ModelAddress, ReferenceQuestion, ReferenceScore
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.redaction import redact_provider
from orchestrator.providers.registry import ProviderRegistry

ADDRESS = ModelAddress(base_url="https://models.example/v1", model="slug/endpoint")
MESSAGES = [{"role": "user", "content": "Is it late?"}]
QUESTION = ReferenceQuestion(messages=MESSAGES, reference="It is not.", prompt_tokens=4)
TOKENS = ["<user>", "Is it late?", "<eot>", "<assistant>", "It", " is", " not", ".", "<eot>", "<assistant>"]
LOGPROBS = [None, -9.0, -8.0, -7.0, -0.5, -0.25, -1.0, -0.25, -0.01, -0.01]

Respond = Callable[[dict[str, Any]], httpx2.Response]


def echo(prompt: Any) -> httpx2.Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": "H"}, "finish_reason": "length"}
    usage = {"prompt_tokens": 10, "completion_tokens": 1}
    return httpx2.Response(200, json={"choices": [choice], "prompt": prompt, "usage": usage})


def list_echoed(tokens: Any = TOKENS, logprobs: Any = LOGPROBS) -> list[Any]:
    return [{"text": "".join(TOKENS), "logprobs": {"tokens": tokens, "token_logprobs": logprobs}}]


async def score(respond: Respond, bodies: list[dict[str, Any]] | None = None) -> ReferenceScore:
    def handle(request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        if bodies is not None:
            bodies.append(body)
        return respond(body)

    redact = Redactor()
    factory = ProviderRegistry(HttpClient(httpx2.MockTransport(handle)), redact).get_factory(ProviderName.TOGETHER)
    account = Account(name="acme", provider=ProviderName.TOGETHER, api_key="env:KEY")
    provider: Any = redact_provider(factory(account, Secret("together-canary-key-4711")), redact)
    result = await provider.score_reference(ADDRESS, QUESTION)
    assert isinstance(result, ReferenceScore)
    return result


async def test_answer_is_sent_as_the_last_message_and_its_tokens_count() -> None:
    bodies: list[dict[str, Any]] = []
    found = await score(lambda _: echo(list_echoed()), bodies)
    assert found == ReferenceScore(is_reported=True, mean_logprob=-0.5, prompt_tokens=10, output_tokens=1)
    (body,) = bodies
    assert body["messages"] == [*MESSAGES, {"role": "assistant", "content": "It is not."}]
    assert (body["model"], body["echo"], body["logprobs"], body["max_tokens"]) == ("slug/endpoint", True, 1, 1)


@pytest.mark.parametrize(
    "prompt",
    [
        None,
        [],
        "text",
        [{"text": "Is it late?"}],
        [{"logprobs": None}],
        [*list_echoed(), *list_echoed()],
        list_echoed(tokens=None),
        list_echoed(tokens=[]),
        list_echoed(logprobs=LOGPROBS[1:]),
        list_echoed(tokens=list(range(10))),
    ],
)
async def test_echo_in_another_form_is_not_reported(prompt: Any) -> None:
    found = await score(lambda _: echo(prompt))
    assert (found.is_reported, found.mean_logprob) == (False, None)


@pytest.mark.parametrize(
    ("tokens", "logprobs"),
    [
        ([*TOKENS[:4], "It is", " late", ".", "", "", ""], LOGPROBS),
        (["<bos>", *TOKENS[:-1]], LOGPROBS),
        (TOKENS, [*LOGPROBS[:5], "much", *LOGPROBS[6:]]),
        (TOKENS[:4], LOGPROBS[:4]),
    ],
)
async def test_tokens_that_are_not_those_of_the_answer_have_no_value(tokens: Any, logprobs: Any) -> None:
    found = await score(lambda _: echo(list_echoed(tokens, logprobs)))
    assert (found.is_reported, found.mean_logprob) == (True, None)


async def test_errors_are_those_of_a_question() -> None:
    with pytest.raises(RequestRejected):
        await score(lambda _: httpx2.Response(400, json={"error": {"message": "echo is not supported"}}))
    with pytest.raises(ProviderUnavailable):
        await score(lambda _: httpx2.Response(200, content=b"<html>"))


def test_only_providers_with_the_call_are_asked() -> None:
    assert [name for name, info in PROVIDERS.items() if info.scores_references] == [ProviderName.TOGETHER]
