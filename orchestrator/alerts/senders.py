"""Senders: how a target of the accounts file is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import httpx2

from orchestrator.alerts.base import Send
from orchestrator.alerts.webhooks import WebhookSender
from orchestrator.core.delivery import Target, Way
from orchestrator.core.secret import Redactor, Secret

ClientFor = Callable[[str], httpx2.AsyncClient]
"""The HTTP client for an address: another one where a proxy stands on the way."""


def sender(
    target: Target,
    secrets: Mapping[str, Secret],
    client_for: ClientFor,
    redact: Redactor,
    ca_bundle: str | None = None,
) -> Send:
    """`secrets` is what each reference leads to. Raises ConfigError for an address that cannot be one.

    `ca_bundle` is a PEM file with all authorities that are trusted; None: those of the library that sends.
    """
    if target.way is Way.ALERT:
        from orchestrator.alerts.people import AlertSender  # an extra, and slow to load

        return AlertSender(target.url, secrets[target.url], redact, ca_bundle)
    assert target.secret is not None
    address = secrets[target.url].reveal() if target.url in secrets else target.url
    return WebhookSender(client_for(address), address, secrets[target.secret], redact)
