"""Wake-ups: the promise that a job is looked at again at a time.

Whoever changes a job's `wake_at` notes it here; a dispatch that keeps a queue of its own is told before the commit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from orchestrator.core.jobs.job import JobId
from orchestrator.store.db.connection import StoreConnection


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A job is due `at` (epoch seconds, UTC)."""

    job_id: JobId
    account: str
    at: float


EnqueueWakeUps = Callable[[StoreConnection, Sequence[WakeUp]], Awaitable[None]]
"""Puts wake-ups into a queue, through the connection and in the transaction that promised them."""


def schedule_wake_ups(connection: StoreConnection, wake_ups: Iterable[WakeUp]) -> None:
    """Have the wake-ups scheduled with the transaction under way."""
    connection.sync_connection.get_execution_options().get("promised", []).extend(wake_ups)
