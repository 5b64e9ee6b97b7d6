"""A deployment is ready when it returns a token, and not when its server returns anything at all."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from orchestrator.core.errors import (
    AuthenticationFailed,
    DeploymentNotReady,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.chat_call import call_chat_model
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.rest_client import RestClient

ANSWER = {"choices": [{"message": {"role": "assistant", "content": "H"}, "finish_reason": "length"}]}


def connect(status: int, body: Any, requests: list[httpx2.Request] | None = None) -> RestClient:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if requests is not None:
            requests.append(request)
        return httpx2.Response(status, json=body, headers={"x-request-id": "req-1", "retry-after": "7"})

    http = HttpClient(httpx2.MockTransport(answer))
    key = Secret("key-of-acme")
    return RestClient(
        http, "https://api.example/v1", key=key, account="acme", redact=Redactor(), error_codes={}
    ).with_base_url("https://inference.example/v2/")


async def test_call_requests_one_token_at_the_other_address_with_the_same_key() -> None:
    requests: list[httpx2.Request] = []
    await call_chat_model(connect(200, ANSWER, requests), "slug/tone")
    [request] = requests
    assert str(request.url) == "https://inference.example/v2/chat/completions"
    assert request.headers["authorization"] == "Bearer key-of-acme"
    body = json.loads(request.content)
    assert (body["model"], body["max_tokens"]) == ("slug/tone", 1)


@pytest.mark.parametrize("status", [404, 425, 503])
async def test_deployment_that_is_starting_is_not_ready(status: int) -> None:
    error = {"error": {"code": "routing_error", "message": "no replica"}}
    with pytest.raises(
        DeploymentNotReady, match=f"slug/tone does not answer yet: {status} routing_error: no"
    ) as caught:
        await call_chat_model(connect(status, error), "slug/tone")
    refusal = caught.value
    assert (refusal.code, refusal.account) == ("routing_error", "acme")
    assert (refusal.request_id, refusal.retry_after) == ("req-1", 7.0)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RequestRejected), (401, AuthenticationFailed), (429, RateLimited), (500, ProviderUnavailable)],
)
async def test_other_refusals_have_their_own_kind(status: int, kind: type[ProviderError]) -> None:
    with pytest.raises(ProviderError) as caught:
        await call_chat_model(connect(status, {"error": {"message": "no"}}), "slug/tone")
    assert type(caught.value) is kind


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"code": "InternalError", "message": "no"}, []])
async def test_response_without_a_choice_is_no_answer(body: Any) -> None:
    with pytest.raises(ProviderUnavailable, match="unexpected shape"):
        await call_chat_model(connect(200, body), "slug/tone")
