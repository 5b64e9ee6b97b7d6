"""The port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from orchestrator.core.jobs.job import JobId

JobHandler = Callable[[JobId], Awaitable[None]]
"""Does what the job needs now and records its next wake-up. Never raises."""

ServerLookup = Callable[[str], str | None]
"""The server an account leads to; None where all accounts lead to the same one."""


class Dispatcher(Protocol):
    """Hands every due job to `handle`: at most one at a time per account, at most so many at once.

    A server that is slow keeps the accounts of other servers from nothing (`dispatch.shares`).
    """

    async def run(self, handle: JobHandler) -> None:
        """Hand out jobs until `stop`; returns when the last one handed out is done."""

    def wake(self) -> None:
        """Something may be due earlier than was known."""

    def stop(self) -> None:
        """Hand out nothing more."""

    def abort(self) -> None:
        """Cut off what is still under way; its intents stay and are looked up at the next start."""
