"""Builds the sender of a target of the accounts file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import httpx2

from orchestrator.core.notifications.delivery import Channel, NotificationTarget
from orchestrator.core.secret import Redactor, Secret
from orchestrator.notify.base import Sender
from orchestrator.notify.webhook_sender import WebhookSender

ClientFactory = Callable[[str], httpx2.AsyncClient]
"""Returns the HTTP client for an address; addresses behind a proxy have another one."""


def build_sender(
    target: NotificationTarget,
    secrets: Mapping[str, Secret],
    build_client: ClientFactory,
    redact: Redactor,
    ca_bundle: str | None = None,
) -> Sender:
    """Return the sender of `target`. Raises ConfigError for an invalid address.

    `secrets` are the values of the references. `ca_bundle` is a PEM file with all trusted certificate authorities;
    None: those of the library that sends.
    """
    if target.channel is Channel.ALERT:
        from orchestrator.notify.apprise_sender import AppriseSender  # an extra, and slow to load

        return AppriseSender(target.url, secrets[target.url], redact, ca_bundle)
    assert target.secret is not None
    address = secrets[target.url].reveal() if target.url in secrets else target.url
    return WebhookSender(build_client(address), address, secrets[target.secret], redact)
