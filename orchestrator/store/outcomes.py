"""Outcomes: what became of a job, written if nothing else did meanwhile, with all that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import bindparam, select, update

from orchestrator.core.advance import Outcome, despite_cancel
from orchestrator.core.job import Job
from orchestrator.core.lifecycle import AT_PROVIDER, ENDS
from orchestrator.store import accounts, announcements, events, losses, pins
from orchestrator.store.among import among
from orchestrator.store.connection import AsyncConnection, execute_each
from orchestrator.store.jobs import by_id, wake_ready, wake_unsent
from orchestrator.store.rows import job_row
from orchestrator.store.tables import jobs
from orchestrator.store.wakeups import WakeUp, promise

NOT_OURS: Final = ("id", "run_id", "estimated_usd", "retires_on", "gone_at")
"""What is not written with an outcome: it may have changed since the job was loaded, and by others only."""


async def record(
    connection: AsyncConnection, outcome: Outcome, *, at: float, cause: str, going_on: bool = False
) -> bool:
    """Compare and set on the version; write the history and what is announced. False: stale, nothing was written.

    `going_on`: the caller sees to the job while it is due or its intent lasts, so nobody else need be woken for it.
    """
    result = await connection.execute(_RECORD, _guarded(outcome.job))
    if result.rowcount == 0:
        return False
    await _stand(connection, [(outcome, at)])
    await _follow_up(connection, outcome, at, cause, going_on=going_on)
    return True


async def record_all(
    connection: AsyncConnection, steps: Sequence[tuple[Outcome, float]], *, cause: str
) -> list[bool]:
    """The same of several outcomes, each with its time, in one go. Whoever recorded them goes on.

    None of them may be an end, for each end asks what is left of its run.
    """
    found = await connection.execute(_VERSIONS, {"ids": [outcome.job.id for outcome, _ in steps]})
    versions = {row.id: row.version for row in found}
    fresh, current = [], []
    for outcome, at in steps:  # nobody else writes in this transaction; of two from the same version the first wins
        job = outcome.job
        fresh.append(versions.get(job.id) == job.version - 1)
        if fresh[-1]:
            versions[job.id] = job.version
            current.append((outcome, at))
    await execute_each(connection, _RECORD, (_guarded(outcome.job) for outcome, _ in current))
    await _stand(connection, current)
    for outcome, at in current:
        await _follow_up(connection, outcome, at, cause, going_on=True)
    return fresh


def _guarded(job: Job) -> dict[str, Any]:
    values = job_row(job) | {"same_id": job.id, "version_before": job.version - 1}
    for others in NOT_OURS:
        del values[others]
    return values


async def _stand(connection: AsyncConnection, steps: Sequence[tuple[Outcome, float]]) -> None:
    """What becomes of the standing of the accounts."""
    changes = [(outcome.job.account, outcome.standing, at) for outcome, at in steps if outcome.standing is not None]
    if not changes:
        return
    known = await accounts.some(connection, {account for account, _, _ in changes})
    for account, change, at in changes:
        before, known[account] = known[account], change(known[account])
        await announcements.announce_standing(connection, before, known[account], at)
    await accounts.save_all(connection, known.values())


async def _follow_up(connection: AsyncConnection, outcome: Outcome, at: float, cause: str, *, going_on: bool) -> None:
    """What is written with an outcome beside the job."""
    job = outcome.job
    if job.wake_at is not None and not (going_on and (job.wake_at <= at or job.wake_at == job.intent_until)):
        promise(connection, [WakeUp(job.id, job.account, job.wake_at)])
    if outcome.note is not None:
        await events.append(connection, events.of_outcome(outcome, at=at, cause=cause))
    if outcome.warned:
        await events.append(connection, events.of_warning(outcome, at=at, cause=cause))
        await announcements.announce_warning(connection, job, at)
    await _keep(connection, outcome, at)
    if job.state in ENDS and job.state is not outcome.before:
        await announcements.announce_end(connection, job, outcome.before, at)
    if outcome.before in AT_PROVIDER and job.state in ENDS:
        await wake_ready(connection, job.account, at)


async def _keep(connection: AsyncConnection, outcome: Outcome, at: float) -> None:
    """What the provider told beside the job itself: its curve, and what it chose for others to have as well."""
    job = outcome.job
    if outcome.before in ENDS:
        await losses.forget(connection, job.id)
    if outcome.losses:
        await losses.add(connection, job.id, outcome.losses)
    if outcome.pin is not None and (run_id := await pins.pin(connection, job, outcome.pin)):
        await wake_unsent(connection, run_id, at)


async def record_despite_cancel(
    connection: AsyncConnection, outcome: Outcome, at: float, cause: str
) -> Outcome | None:
    """Record a stale outcome if a cancel is all that came between. Returns what was recorded."""
    for found in (await by_id(connection, [outcome.job.id])).values():
        again = despite_cancel(outcome, found, now=at)
        if again and await record(connection, again, at=at, cause=cause, going_on=True):
            return again
    return None


# Made once: to put a statement together takes longer than to execute it.
_RECORD = update(jobs).where(jobs.c.id == bindparam("same_id"), jobs.c.version == bindparam("version_before"))
_VERSIONS = select(jobs.c.id, jobs.c.version).where(among(jobs.c.id, "ids"))
