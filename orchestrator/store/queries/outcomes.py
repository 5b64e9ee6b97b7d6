"""Outcomes: what became of a job, written if nothing else did meanwhile, with all that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import bindparam, select, update

from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import AT_PROVIDER_STATES, TERMINAL_STATES
from orchestrator.core.jobs.transitions import Outcome, rebase_on_cancel
from orchestrator.store.db.any_of import any_of
from orchestrator.store.db.connection import execute_each
from orchestrator.store.db.transaction import Transaction, WakeUp
from orchestrator.store.queries import accounts, events, losses, notifications, pins
from orchestrator.store.queries.jobs import get_many, wake_ready, wake_unsubmitted
from orchestrator.store.schema.mapping import job_to_row
from orchestrator.store.schema.tables import jobs

FIELDS_OWNED_ELSEWHERE: Final = ("id", "run_id", "estimated_usd", "retires_on", "gone_at")
"""What is not written with an outcome: it may have changed since the job was loaded, and by others only."""


async def record(tx: Transaction, outcome: Outcome, *, at: float, cause: str, caller_continues: bool = False) -> bool:
    """Compare and set on the version; write the history and what is announced. False: stale, nothing was written.

    `going_on`: the caller sees to the job while it is due or its intent lasts, so nobody else need be woken for it.
    """
    result = await tx.connection.execute(_UPDATE_IF_VERSION, _versioned_row(outcome.job))
    if result.rowcount == 0:
        return False
    await _update_accounts(tx, [(outcome, at)])
    await _write_side_effects(tx, outcome, at, cause, caller_continues=caller_continues)
    return True


async def record_many(tx: Transaction, steps: Sequence[tuple[Outcome, float]], *, cause: str) -> list[bool]:
    """The same of several outcomes, each with its time, in one go. Whoever recorded them goes on.

    None of them may be an end, for each end asks what is left of its run.
    """
    found = await tx.connection.execute(_VERSIONS, {"ids": [outcome.job.id for outcome, _ in steps]})
    versions = {row.id: row.version for row in found}
    fresh, current = [], []
    for outcome, at in steps:  # nobody else writes in this transaction; of two from the same version the first wins
        job = outcome.job
        fresh.append(versions.get(job.id) == job.version - 1)
        if fresh[-1]:
            versions[job.id] = job.version
            current.append((outcome, at))
    await execute_each(tx.connection, _UPDATE_IF_VERSION, (_versioned_row(outcome.job) for outcome, _ in current))
    await _update_accounts(tx, current)
    for outcome, at in current:
        await _write_side_effects(tx, outcome, at, cause, caller_continues=True)
    return fresh


def _versioned_row(job: Job) -> dict[str, Any]:
    values = job_to_row(job) | {"same_id": job.id, "version_before": job.version - 1}
    for others in FIELDS_OWNED_ELSEWHERE:
        del values[others]
    return values


async def _update_accounts(tx: Transaction, steps: Sequence[tuple[Outcome, float]]) -> None:
    """What becomes of the standing of the accounts."""
    changes = [
        (outcome.job.account, outcome.account_update, at)
        for outcome, at in steps
        if outcome.account_update is not None
    ]
    if not changes:
        return
    known = await accounts.get_many(tx.connection, {account for account, _, _ in changes})
    for account, change, at in changes:
        before, known[account] = known[account], change(known[account])
        await notifications.publish_account_hold(tx, before, known[account], at)
    await accounts.save_many(tx, known.values())


async def _write_side_effects(
    tx: Transaction, outcome: Outcome, at: float, cause: str, *, caller_continues: bool
) -> None:
    """What is written with an outcome beside the job."""
    job = outcome.job
    if job.wake_at is not None and not (caller_continues and (job.wake_at <= at or job.wake_at == job.intent_until)):
        tx.schedule_wake_ups([WakeUp(job.id, job.account, job.wake_at)])
    if outcome.label is not None:
        tx.add_events(events.event_from_outcome(outcome, at=at, cause=cause))
    if outcome.is_warning_new:
        tx.add_events(events.event_from_warning(outcome, at=at, cause=cause))
        await notifications.publish_job_warning(tx, job, at)
    await _save_losses_and_pins(tx, outcome, at)
    if job.state in TERMINAL_STATES and job.state is not outcome.previous_state:
        await notifications.publish_job_end(tx, job, outcome.previous_state, at)
    if outcome.previous_state in AT_PROVIDER_STATES and job.state in TERMINAL_STATES:
        await wake_ready(tx, job.account, at)


async def _save_losses_and_pins(tx: Transaction, outcome: Outcome, at: float) -> None:
    """What the provider told beside the job itself: its curve, and what it chose for others to have as well."""
    job = outcome.job
    if outcome.previous_state in TERMINAL_STATES:
        await losses.delete_by_job(tx, job.id)
    if outcome.losses:
        await losses.add(tx, job.id, outcome.losses)
    if outcome.pinned_values is not None and (run_id := await pins.save(tx, job, outcome.pinned_values)):
        await wake_unsubmitted(tx, run_id, at)


async def record_rebased(tx: Transaction, outcome: Outcome, at: float, cause: str) -> Outcome | None:
    """Record a stale outcome if a cancel is all that came between. Returns what was recorded."""
    for found in (await get_many(tx.connection, [outcome.job.id])).values():
        again = rebase_on_cancel(outcome, found, now=at)
        if again and await record(tx, again, at=at, cause=cause, caller_continues=True):
            return again
    return None


# Made once: to put a statement together takes longer than to execute it.
_UPDATE_IF_VERSION = update(jobs).where(
    jobs.c.id == bindparam("same_id"), jobs.c.version == bindparam("version_before")
)
_VERSIONS = select(jobs.c.id, jobs.c.version).where(any_of(jobs.c.id, "ids"))
