"""Sends a delivery as a message through apprise, which supports mail and messengers. Needs the extra `alerts`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from orchestrator.core.errors import ConfigError
from orchestrator.core.secret import Redactor, Secret
from orchestrator.notify.base import OutgoingMessage, clean_reply, format_body, format_title

try:
    import apprise
except ModuleNotFoundError as missing:
    raise ConfigError(
        f"[[alerts]] need the package {missing.name}, which is not installed",
        hint="Install it with `pip install 'orchestrator[alerts]'`, or remove [[alerts]] from the accounts file.",
    ) from missing

# One thread: `_capture_log` would mix the messages of two. A pool of its own: the loop's threads run database
# commits.
_EXECUTOR: Final = ThreadPoolExecutor(1, "alerts")
MAX_LOG_CHARACTERS: Final = 1000  # of apprise's log messages; the rest is dropped
LOGGER: Final = logging.getLogger("apprise")
LOGGER.propagate = False  # its messages are stored with the delivery instead
logging.getLogger("urllib3").setLevel(logging.WARNING)  # below that it prints addresses, which hold keys


class AppriseSender:
    """Sends messages to one address. Raises ConfigError for an address that apprise does not support."""

    def __init__(self, reference: str, address: Secret, redact: Redactor, ca_bundle: str | None = None) -> None:
        # Redirects are not followed, as for webhooks, unless the address itself has `redirect=yes`.
        self._messenger = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False))
        self._redact = redact
        with _capture_log():
            is_supported = self._messenger.add(address.reveal())
        if not is_supported:
            raise ConfigError(
                f"[[alerts]]: url: {reference} is not an address that apprise supports",
                hint="Use an address of apprise's documentation, such as slack://… or mailtos://….",
            )
        for service in self._messenger:
            if ca_bundle and service.verify_certificate is True:  # not where the address has verify=no
                # apprise passes the value to requests, which also accepts a path.
                service.verify_certificate = ca_bundle  # type: ignore[assignment]

    async def __call__(self, delivery: OutgoingMessage, now: float) -> str | None:
        return await asyncio.get_running_loop().run_in_executor(_EXECUTOR, self._notify, delivery)

    def _notify(self, delivery: OutgoingMessage) -> str | None:
        title, body = format_title(delivery.payload), format_body(delivery.payload)
        with _capture_log() as messages:
            # Without a format apprise passes a provider's text on as HTML to Telegram, and as markup to Slack.
            if self._messenger.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT):
                return None
        return (
            clean_reply(self._redact.truncate(" ".join(messages), MAX_LOG_CHARACTERS))
            or "the message was not accepted, and no reason was reported"
        )


@contextmanager
def _capture_log() -> Iterator[list[str]]:
    """Collect the messages that apprise logs while the context is open."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    LOGGER.addHandler(handler)
    try:
        yield messages
    finally:
        LOGGER.removeHandler(handler)
