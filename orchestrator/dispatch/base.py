"""The interface between dispatch and the reconciler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from orchestrator.core.jobs.job import JobId

JobHandler = Callable[[JobId], Awaitable[None]]
"""Executes the steps of the job that are due and records its next wake-up. Never raises."""

ServerLookup = Callable[[str], str | None]
"""Returns the server that an account uses; None where all accounts use the same one."""


class Dispatcher(Protocol):
    """Hands every due job to `handle`: one at a time for each account, and a limited number in total.

    A slow server does not delay the accounts of other servers (dispatch/slot_allocator.py).
    """

    async def run(self, handle: JobHandler) -> None:
        """Hand out due jobs until `stop` is called. Return when the last of them is done."""

    def wake(self) -> None:
        """Check now for due jobs: one may be due earlier than expected."""

    def stop(self) -> None:
        """Hand out no more jobs; those at work continue."""

    def abort(self) -> None:
        """Cancel the jobs at work. Their intents stay, so their outcome is looked up at the next start."""
