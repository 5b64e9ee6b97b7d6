"""Senders: how a target of the accounts file is told."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from orchestrator.alerts.base import Send
from orchestrator.alerts.webhooks import WebhookSender
from orchestrator.core.delivery import Target, Way
from orchestrator.core.secret import Redactor, Secret


def sender(target: Target, secrets: Mapping[str, Secret], http: httpx2.AsyncClient, redact: Redactor) -> Send:
    """`secrets` is what each reference leads to. Raises ConfigError for an address that cannot be one."""
    if target.way is Way.ALERT:
        from orchestrator.alerts.people import AlertSender  # an extra, and slow to load

        return AlertSender(target.url, secrets[target.url], redact)
    assert target.secret is not None
    address = secrets[target.url].reveal() if target.url in secrets else target.url
    return WebhookSender(http, address, secrets[target.secret], redact)
