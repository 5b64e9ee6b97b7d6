"""An open write transaction: its connection, the history events and the wake-ups that are committed with it."""

# Theory of operation
#
# A change of a job has up to three parts: the row itself, a line in the history (EventData), and a wake-up, which is
# the promise that some replica looks at the job at a given time. All three must be committed together:
#
# * Without the event, the history would have a gap that nobody can explain later.
# * Without the wake-up, the job would rest until a sweep finds it (PostgreSQL); a wake-up for a change that was
#   rolled back would make a replica look for something that never happened.
#
# Every query that writes takes a Transaction, every query that only reads takes a StoreConnection. The type checker
# therefore finds a write outside a transaction, and there is no connection on which events or wake-ups get lost.
#
# Events and wake-ups are collected in memory and written by `flush`, right before the commit. A group commit shares
# one Transaction among all its members, so hundreds of steps cost one INSERT of events and one call of the queue
# instead of one each. The order of events within a transaction is the order of the `add_events` calls; their ids
# follow it. Nothing may read the events table and expect events of the same, unfinished transaction.
#
# SQLite has no queue: the process that owns the file finds due jobs by their `wake_at` column, so `enqueue` is None
# there and the wake-ups are dropped. On PostgreSQL `enqueue` inserts them into PgQueuer's table through this very
# connection: the queue row and the job row are one commit.

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from sqlalchemy import insert

from orchestrator.core.jobs.job import JobId
from orchestrator.core.structs import Struct
from orchestrator.store.db.connection import StoreConnection, execute_each
from orchestrator.store.schema.tables import events as event_table


class EventData(Struct, frozen=True, kw_only=True):
    """One line of the history: what happened, when, to what, and who or what caused it."""

    at: float
    """Epoch seconds, UTC."""
    cause: str
    """Who or what caused it: `service`, `operator:NAME`, `accounts file`."""
    note: str
    """What happened, in one or two words; stored, so existing values must not change."""
    account: str | None = None
    run_id: str | None = None
    job_id: str | None = None
    state_before: str | None = None
    state_after: str | None = None
    attempt: int | None = None
    remote_job_id: str | None = None
    request_id: str | None = None
    """The provider's id of the request, for its support."""
    message: str | None = None
    deployment_id: str | None = None
    comparison_id: str | None = None


class WakeUp(Struct, frozen=True):
    """A job is due `at` (epoch seconds, UTC)."""

    job_id: JobId
    account: str
    at: float


EnqueueWakeUps = Callable[[StoreConnection, Sequence[WakeUp]], Awaitable[None]]
"""Puts wake-ups into a queue, through the given connection and so in its transaction."""


class Transaction:
    """A write transaction under way. Queries that write take it; reads within it use `connection`."""

    def __init__(self, connection: StoreConnection) -> None:
        self.connection = connection
        self._events: list[EventData] = []
        self._wake_ups: list[WakeUp] = []

    def add_events(self, *events: EventData) -> None:
        """Add lines to the history; they are written right before the commit."""
        self._events.extend(events)

    def schedule_wake_ups(self, wake_ups: Iterable[WakeUp]) -> None:
        """Have jobs dispatched at their times; they are enqueued right before the commit."""
        self._wake_ups.extend(wake_ups)

    async def flush(self, enqueue: EnqueueWakeUps | None) -> None:
        """Write the collected events and wake-ups. Called once, as the last thing before the commit."""
        rows = ({name: getattr(event, name) for name in _EVENT_FIELDS} for event in self._events)
        await execute_each(self.connection, _INSERT_EVENT, rows)
        if enqueue is not None and self._wake_ups:
            await enqueue(self.connection, self._wake_ups)


# Built once: compiling a statement takes longer than executing it.
_INSERT_EVENT = insert(event_table)
_EVENT_FIELDS = [*EventData.__struct_fields__]
