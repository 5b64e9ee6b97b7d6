"""What the SDK's own check lets through, and what becomes of everything else that may come through an open door."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Signer

from orchestrator.app import SystemClock
from orchestrator.core.jobs.provider_webhook import ProviderWebhook
from orchestrator.core.secret import Secret
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai.webhooks import WebhookParser, build_webhook_parser

SECRET = Secret("whsec_" + b64encode(b"a key of some twenty bytes").decode())
OTHER = Secret("whsec_" + b64encode(b"another key of some bytes").decode())
READ: WebhookParser = build_webhook_parser(HttpClient(httpx2.MockTransport(lambda _: httpx2.Response(500))))


def event(kind: str = "fine_tuning.job.succeeded", job: Any = "ftjob-1") -> bytes:
    return json.dumps({"object": "event", "id": "evt_1", "type": kind, "created_at": 1, "data": {"id": job}}).encode()


def signed(body: bytes, *, secret: Secret = SECRET, age: float = 0.0, name: str = "wh_1") -> dict[str, str]:
    at = datetime.fromtimestamp(SystemClock().now() - age, UTC)
    signature = Signer(secret.reveal()).sign(name, at, body.decode())
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


@pytest.mark.parametrize("kind", ["succeeded", "failed", "cancelled", "something.new"])
def test_an_event_of_a_job_names_it(kind: str) -> None:
    body = event(f"fine_tuning.job.{kind}")
    assert READ(SECRET, signed(body), body) == ProviderWebhook(id="wh_1", remote_job_id="ftjob-1")


@pytest.mark.parametrize(
    "body",
    [
        event("batch.completed"),
        event(job=7),
        event(job=None),
        b"{}",
        b"[]",
        b'"x"',
        b"null",
        b"no json",
        b"",
        b"[" * 9999,
        b'{"type": "fine_tuning.job.failed", "data": []}',
        b'{"type": 5, "data": {"id": "x"}}',
        event(job="ftjob-\0"),
    ],
)
def test_signed_event_without_a_job_names_no_job(body: bytes) -> None:
    assert READ(SECRET, signed(body), body) == ProviderWebhook(id="wh_1", remote_job_id=None)


@pytest.mark.parametrize("age", [301, 86_400, -302])
def test_stale_or_future_webhook_is_refused(age: float) -> None:
    body = event()
    assert READ(SECRET, signed(body, age=age), body) is None


@pytest.mark.parametrize("age", [290, -290])
def test_webhook_tolerates_five_minutes_of_clock_skew(age: float) -> None:
    body = event()
    assert READ(SECRET, signed(body, age=age), body) is not None


def test_forged_webhook_is_refused() -> None:
    body = event()
    good = signed(body)
    assert READ(SECRET, signed(body, secret=OTHER), body) is None
    assert READ(OTHER, good, body) is None
    assert READ(SECRET, good, body + b" ") is None
    assert READ(SECRET, good | {"webhook-id": "wh_2"}, body) is None
    assert READ(SECRET, good | {"webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)}, body) is None
    for name in good:
        assert READ(SECRET, {key: value for key, value in good.items() if key != name}, body) is None


header = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40)


@given(signature=header, at=header | st.just(str(int(SystemClock().now()))), body=st.binary(max_size=80))
def test_arbitrary_headers_and_bodies_never_crash(signature: str, at: str, body: bytes) -> None:
    given = {"webhook-id": "wh_1", "webhook-timestamp": at, "webhook-signature": signature}
    assert READ(SECRET, given, body) is None
