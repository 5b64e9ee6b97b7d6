"""One attempt at one target: what is sent, and what comes back of whatever a target may do."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from standardwebhooks import Webhook as Verifier

from orchestrator.app import SystemClock
from orchestrator.core.notifications.delivery import Delivery
from orchestrator.core.notifications.notification import Notification, Topic
from orchestrator.core.secret import Redactor, Secret
from orchestrator.notify.base import clean_reply
from orchestrator.notify.webhook_sender import WebhookSender

SECRET = Secret("whsec_" + b64encode(b"a key of some twenty bytes").decode())
CANARY = "canary-4f1d-and-more"
PAYLOAD = Notification(topic=Topic.MODEL_READY, at=0.0, account="käse", fine_tuned_model="ft:x").to_payload()
DELIVERY = Delivery(
    id=1, message="msg_1", target="https://host/", topic=Topic.MODEL_READY, payload=PAYLOAD, created_at=0.0
)
now = SystemClock().now


def redactor() -> Redactor:
    redact = Redactor()
    redact.add(Secret(CANARY))
    return redact


async def post(answer: Callable[[httpx2.Request], httpx2.Response], **options: Any) -> str | None:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer), **options) as http:
        return await WebhookSender(http, "https://host/path", SECRET, redactor())(DELIVERY, now())


async def test_webhook_is_signed_and_keeps_its_id() -> None:
    requests: list[httpx2.Request] = []

    def take(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(202)

    assert [await post(take), await post(take)] == [None, None]
    for request in requests:
        assert Verifier(SECRET.reveal()).verify(request.content, dict(request.headers)) == PAYLOAD
        assert (request.method, str(request.url)) == ("POST", "https://host/path")
        assert request.headers["webhook-id"] == "msg_1"
        assert request.headers["content-type"] == "application/json"
        assert json.loads(request.content)["data"]["account"] == "käse"
    assert requests[0].content == requests[1].content


async def test_refusal_is_one_short_line_without_keys() -> None:
    error = await post(lambda _: httpx2.Response(500, text=f"no {CANARY}\r\n\0 " + "x" * 5000))
    assert error is not None
    assert error.startswith("500: no [key ")
    assert len(error) == 200
    assert CANARY not in error
    assert not set(error) & set("\r\n\0")


async def test_truncated_answer_shows_no_part_of_a_key() -> None:
    for place in range(200 - len("500: ") - len(CANARY), 200):
        error = await post(lambda _, place=place: httpx2.Response(500, text="x" * place + CANARY))  # type: ignore[misc]
        assert error is not None
        assert CANARY[:2] not in error


async def test_a_redirect_is_not_followed() -> None:
    hosts: list[str] = []

    def away(request: httpx2.Request) -> httpx2.Response:
        hosts.append(request.url.host)
        return httpx2.Response(302, headers={"location": "http://169.254.169.254/"})

    error = await post(away, follow_redirects=False)
    assert hosts == ["host"]
    assert error is not None
    assert "redirect" in error


@pytest.mark.parametrize("fault", [httpx2.ConnectError(f"no {CANARY}"), httpx2.ReadTimeout("slow"), OSError("x")])
async def test_unreachable_target_raises_no_exception(fault: Exception) -> None:
    def fail(_: httpx2.Request) -> httpx2.Response:
        raise fault

    error = await post(fail)
    assert error is not None
    assert type(fault).__name__ in error
    assert CANARY not in error


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    read = 0

    async def endless() -> Any:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 100

    assert await post(lambda _: httpx2.Response(400, content=endless())) == "400: " + "x" * 195
    assert read < 50


def test_target_answer_is_storable() -> None:
    assert clean_reply("a\0b\ud800\n c") == "a b? c"
