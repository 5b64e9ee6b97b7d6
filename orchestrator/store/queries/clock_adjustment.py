"""Adjusts the times that jobs, deployments and deliveries wait for, after this machine's clock was set.

They are stored as times of the wall clock. If it is set back by an hour, every poll, retry and intent that was
written before would wait for an hour longer, and every deployment would be billed for an hour longer. If it is set
forward, an intent would end before the call that it protects, and the provider could be searched before that call
shows there: a second job would be created.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, case, update

from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import deliveries, deployments, jobs

_INTENT_COLUMNS: Final[tuple[Column[Any], ...]] = (jobs.c.intent_until, deployments.c.intent_until)
_WAIT_COLUMNS: Final[tuple[Column[Any], ...]] = (
    *_INTENT_COLUMNS,
    jobs.c.wake_at,
    deployments.c.wake_at,
    deployments.c.expires_at,
    deliveries.c.due_at,
)


async def apply_clock_step(tx: Transaction, step: float, now: float) -> None:
    """Adjust waiting times to a clock that was set by `step` seconds (negative: back) and now reads `now`.

    Only for a database with one process: two would both do it. No intent may be written between the step and this
    change: it would be moved as well, and end too early.
    """
    if step < 0:
        await _shorten_waits(tx, -step, now)
    else:
        # Only intents are moved: anything else that is due too early does no harm. A deployment whose expiry has
        # passed by the new clock is stopped: nobody knows which of the two clocks was right.
        for column in _INTENT_COLUMNS:
            await tx.connection.execute(
                update(column.table).where(column > now - step).values({column: column + step})
            )


async def _shorten_waits(tx: Transaction, seconds: float, now: float) -> None:
    """Move all waiting times back by so many seconds, but not to before `now`."""
    for column in _WAIT_COLUMNS:
        earlier = case((column - seconds > now, column - seconds), else_=now)
        await tx.connection.execute(update(column.table).where(column > now).values({column: earlier}))
