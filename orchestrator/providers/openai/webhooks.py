"""Webhooks that OpenAI sends: is a request really theirs, and which remote job is it about?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import openai

from orchestrator.core.jobs.provider_webhook import ProviderWebhook
from orchestrator.core.secret import Secret
from orchestrator.providers.http.client import HttpClient

JOB_EVENT_PREFIX: Final = "fine_tuning.job."

WebhookParser = Callable[[Secret, Mapping[str, str], bytes], ProviderWebhook | None]
"""What a request with these headers (names in lower case) and body says; None when it is forged or stale."""


def build_webhook_parser(http: HttpClient) -> WebhookParser:
    """Build a parser that checks signature and time as the SDK does."""
    sdk = openai.AsyncOpenAI(api_key="unused", base_url="https://unused.invalid", http_client=http.sdk_client)

    def read(secret: Secret, headers: Mapping[str, str], body: bytes) -> ProviderWebhook | None:
        try:
            sdk.webhooks.verify_signature(body, headers, secret=secret.reveal())
        except (openai.InvalidWebhookSignatureError, ValueError, TypeError):  # the last two: headers out of shape
            return None
        return ProviderWebhook(id=headers["webhook-id"], remote_job_id=_find_job_id(body))

    return read


def _find_job_id(body: bytes) -> str | None:
    """The fine-tuning job that an event is about; None for every other event."""
    try:
        event: Any = json.loads(body)
        about = event["data"]["id"] if str(event["type"]).startswith(JOB_EVENT_PREFIX) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return about if isinstance(about, str) and about.isprintable() else None
