"""People: one message through apprise, which speaks to mail and messengers. It is an extra."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from orchestrator.core.errors import ConfigError
from orchestrator.core.notifications.delivery import Delivery
from orchestrator.core.secret import Redactor, Secret
from orchestrator.notify.base import clean_reply, format_body, format_title

try:
    import apprise
except ModuleNotFoundError as missing:
    raise ConfigError(
        f"[[alerts]] need the package {missing.name}, which is not installed",
        hint="Install orchestrator with its extra: pip install 'orchestrator[alerts]'; or remove [[alerts]].",
    ) from missing

# One would get to see why another failed; and the threads of the loop are for the database's commits.
_EXECUTOR: Final = ThreadPoolExecutor(1, "alerts")
MAX_LOG_CHARACTERS: Final = 1000  # characters of what apprise says that are read
LOGGER: Final = logging.getLogger("apprise")
LOGGER.propagate = False  # what it says of a failure is kept with the delivery
logging.getLogger("urllib3").setLevel(logging.WARNING)  # below that it prints addresses, which hold keys


class AppriseSender:
    """Writes to one address. Raises ConfigError for one that apprise does not understand."""

    def __init__(self, reference: str, address: Secret, redact: Redactor, ca_bundle: str | None = None) -> None:
        self._messenger = apprise.Apprise()
        self._redact = redact
        with _capture_log():
            understood = self._messenger.add(address.reveal())
        if not understood:
            raise ConfigError(
                f"[[alerts]]: url: {reference} does not lead to an address that apprise understands",
                hint="Write it as apprise's documentation says, such as slack://… or mailtos://….",
            )
        for service in self._messenger:
            if ca_bundle and service.verify_certificate is True:  # not where the address says verify=no
                # It goes to requests as it is, which takes a path as well.
                service.verify_certificate = ca_bundle  # type: ignore[assignment]

    async def __call__(self, delivery: Delivery, now: float) -> str | None:
        return await asyncio.get_running_loop().run_in_executor(_EXECUTOR, self._notify, delivery)

    def _notify(self, delivery: Delivery) -> str | None:
        with _capture_log() as said:
            if self._messenger.notify(
                title=format_title(delivery.topic, delivery.payload), body=format_body(delivery.payload)
            ):
                return None
        return (
            clean_reply(self._redact.truncate(" ".join(said), MAX_LOG_CHARACTERS))
            or "it was not taken, and no reason is given"
        )


@contextmanager
def _capture_log() -> Iterator[list[str]]:
    """What apprise says meanwhile."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    LOGGER.addHandler(handler)
    try:
        yield said
    finally:
        LOGGER.removeHandler(handler)
