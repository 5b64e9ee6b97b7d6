"""The port: one attempt to tell one target."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from orchestrator.core.delivery import MAX_ERROR_LENGTH, Delivery

ATTEMPT_TIMEOUT_SECONDS: Final = 10.0

Sender = Callable[[Delivery, float], Awaitable[str | None]]
"""Tell the target now (epoch seconds): None when it took it, else why not. Never raises for what a target does."""


def clean_reply(text: str) -> str:
    """What a target said, short and on one line, fit for a database."""
    line = " ".join(text.encode(errors="replace").decode().replace("\0", " ").split())
    return line[:MAX_ERROR_LENGTH]
