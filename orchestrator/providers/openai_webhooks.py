"""Webhooks that OpenAI sends: is a request really theirs, and which remote job is it about?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx2
import openai

from orchestrator.core.secret import Secret
from orchestrator.core.webhook import Webhook

PREFIX: Final = "fine_tuning.job."

Read = Callable[[Secret, Mapping[str, str], bytes], Webhook | None]
"""What a request with these headers (names in lower case) and body says; None when it is forged or stale."""


def reader(http: httpx2.AsyncClient) -> Read:
    """Checks signature and time as the SDK does."""
    webhooks = openai.AsyncOpenAI(api_key="unused", base_url="https://unused.invalid", http_client=http).webhooks

    def read(secret: Secret, headers: Mapping[str, str], body: bytes) -> Webhook | None:
        try:
            webhooks.verify_signature(body, headers, secret=secret.reveal())
        except (openai.InvalidWebhookSignatureError, ValueError, TypeError):  # the last two: headers out of shape
            return None
        return Webhook(id=headers["webhook-id"], remote_job_id=_job_of(body))

    return read


def _job_of(body: bytes) -> str | None:
    """The fine-tuning job that an event is about; None for every other event."""
    try:
        event: Any = json.loads(body)
        about = event["data"]["id"] if str(event["type"]).startswith(PREFIX) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return about if isinstance(about, str) and about.isprintable() else None
