"""Records outcomes of job steps: the job's row, if it was not changed meanwhile, and everything that follows."""

# Theory of operation
#
# A step loads a job, decides, perhaps calls the provider, and then records an Outcome, which carries the whole new
# job. Between loading and recording other writers may have changed the row: an operator cancels, a webhook wakes the
# job, a replica that was believed dead wakes up. Two rules make the outcome of exactly one of them count:
#
# * Compare and set. The UPDATE has the condition `version = job.version - 1`. If no row matches, the outcome is stale
#   and nothing of it is written; the step starts again from the current row. An intent is recorded by the same rule
#   before anything is sent, so of two replicas only one gets to create a remote job.
# * One transaction. The row, the history events, the wake-up, the account's hold, the losses, the checkpoints, the
#   pinned values and the notifications are committed together or not at all. A job that ended without its
#   notification would end silently; a notification without the end would be false.
#
# FIELDS_OWNED_ELSEWHERE are not written with an outcome: other queries change them without raising the version (price
# estimates, retirement dates), so the values in the loaded job may be out of date. Writing them would undo that
# change.
#
# Wake-ups. On PostgreSQL a job is only looked at when a wake-up is in the queue (or the sweep finds it, seconds
# later), so every new `wake_at` schedules one, with two exceptions when the caller continues with the job by itself:
# a job that is due now is handled in the same loop, and the wake-up at the end of an intent is needed only if the
# replica dies in between, which the sweep detects by `wake_at = intent_until`. Both would double the queue's work.
#
# Several outcomes. record_many writes all rows first and the consequences afterwards: the number of statements
# does not grow with the outcomes. Between two statements all replicas wait for this one, which holds the write lock.
# That is the same as recording them one by one in some order only while no outcome decides about another. So a batch
# has at most one job of an account (daemon/outcome_batch.py), and what concerns a whole run is found last:
#
# * A job that leaves the provider frees a slot: the account's ready jobs are woken (wake_ready). So does a ready job
#   that ends or is held: find_submit_blocker had kept a slot for it.
# * The first job of a provider shows the values that the provider selected: the run's unsubmitted jobs wait for them
#   and are woken (wake_unsubmitted).
# * The last job that ends, ends the run: publish_job_ends looks for jobs of the run that are still open when the rows
#   of all ends are written, once for each run. One by one, only the last end of the batch would find none; together,
#   the run ends once, after its jobs.
#
# record_rebased is the one exception to "stale is stale". A cancel request only sets a flag. If it comes while a
# create call is under way, the answer of that call (the id of a job that costs money) must not be lost: the outcome
# is applied to the row with the flag, see core/jobs/transitions.py.

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, update

from orchestrator.core.account_state import apply_account_update
from orchestrator.core.jobs.checkpoint import number_checkpoints
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.lifecycle import AT_PROVIDER_STATES, TERMINAL_STATES, JobEvent, JobState
from orchestrator.core.jobs.transitions import Outcome, rebase_on_cancel
from orchestrator.store.db.connection import execute_each
from orchestrator.store.db.transaction import Transaction, WakeUp
from orchestrator.store.queries import accounts, events, losses, notifications, pins
from orchestrator.store.queries import jobs as job_queries
from orchestrator.store.queries.deployments import checkpoints
from orchestrator.store.schema.mapping import job_to_row
from orchestrator.store.schema.tables import jobs

FIELDS_OWNED_ELSEWHERE: Final = ("id", "run_id", "estimated_usd", "retires_on", "gone_at")
"""Fields that an outcome does not write: other queries change them without a new version, see above."""

# Built once: compiling a statement takes longer than executing it.
_UPDATE_IF_VERSION = update(jobs).where(
    jobs.c.id == bindparam("same_id"), jobs.c.version == bindparam("version_before")
)


async def record(tx: Transaction, outcome: Outcome, *, at: float, cause: str, caller_continues: bool = False) -> bool:
    """Record the outcome unless it is stale. Returns False, and writes nothing, when it is.

    `caller_continues`: the caller goes on with the job while it is due, so no wake-up is needed for that.
    """
    result = await tx.connection.execute(_UPDATE_IF_VERSION, _to_versioned_row(outcome.job))
    if result.rowcount == 0:
        return False
    await _update_accounts(tx, [(outcome, at)])
    await _write_side_effects(tx, [(outcome, at)], cause, caller_continues=caller_continues)
    return True


async def record_many(
    tx: Transaction,
    steps: Sequence[tuple[Outcome, float]],
    *,
    cause: str,
    facts: Mapping[JobId, job_queries.RecordFacts],
) -> list[bool]:
    """Record several outcomes, each with its time, with few statements. Returns for each whether it was recorded.

    The callers continue with their jobs. At most one outcome of an account may free a slot, see above. `facts` were
    read in this transaction, with the accounts of the jobs that free a slot counted.
    """
    versions = {job_id: known.version for job_id, known in facts.items()}
    recorded, current = [], []
    # Versions can be compared here because nobody else writes during this transaction. Of two outcomes from the same
    # version the first one counts, hence the update of `versions`.
    for outcome, at in steps:
        job = outcome.job
        recorded.append(versions.get(job.id) == job.version - 1)
        if recorded[-1]:
            versions[job.id] = job.version
            current.append((outcome, at))
    await execute_each(tx.connection, _UPDATE_IF_VERSION, (_to_versioned_row(outcome.job) for outcome, _ in current))
    await _update_accounts(tx, current)
    idle = frozenset(job_id for job_id, known in facts.items() if not known.ready_jobs)
    await _write_side_effects(tx, current, cause, caller_continues=True, without_ready_jobs=idle)
    return recorded


def frees_slot(outcome: Outcome) -> bool:
    """Whether another job of the account may get a slot by this outcome."""
    job, before = outcome.job, outcome.previous_state
    if before is JobState.READY:  # it had kept a slot free from the jobs of other runs
        return job.hold is not None or job.state in TERMINAL_STATES
    return before in AT_PROVIDER_STATES and job.state not in AT_PROVIDER_STATES


async def record_rebased(tx: Transaction, outcome: Outcome, at: float, cause: str) -> Outcome | None:
    """Record a stale outcome if a cancel request is all that came between. Returns what was recorded, or None."""
    for current in (await job_queries.get_many(tx.connection, [outcome.job.id])).values():
        rebased = rebase_on_cancel(outcome, current, now=at)
        if rebased and await record(tx, rebased, at=at, cause=cause, caller_continues=True):
            return rebased
    return None


def _to_versioned_row(job: Job) -> dict[str, Any]:
    values = job_to_row(job) | {"same_id": job.id, "version_before": job.version - 1}
    for name in FIELDS_OWNED_ELSEWHERE:
        del values[name]
    return values


async def _update_accounts(tx: Transaction, steps: Sequence[tuple[Outcome, float]]) -> None:
    """Apply the account updates of the outcomes, in their order, and announce new holds."""
    updates = [
        (outcome.job.account, outcome.account_update, at)
        for outcome, at in steps
        if outcome.account_update is not None
    ]
    if not updates:
        return
    # Read in this transaction, not taken from the loaded step: an operator may have held the account meanwhile.
    states = await accounts.get_many(tx.connection, {account for account, _, _ in updates})
    for account, account_update, at in updates:
        before, states[account] = states[account], apply_account_update(states[account], account_update)
        await notifications.publish_account_hold(tx, before, states[account], at)
    await accounts.save_many(tx, states.values())


async def _write_side_effects(
    tx: Transaction,
    steps: Sequence[tuple[Outcome, float]],
    cause: str,
    *,
    caller_continues: bool,
    without_ready_jobs: Collection[JobId] = (),
) -> None:
    """Write everything that follows from outcomes besides the jobs and their accounts.

    `without_ready_jobs`: the jobs in whose accounts no other job is known to wait for a slot.
    """
    for outcome, at in steps:
        job = outcome.job
        if job.wake_at is not None and not (
            caller_continues and (job.wake_at <= at or job.wake_at == job.intent_until)
        ):
            tx.schedule_wake_ups([WakeUp(job.id, job.account, job.wake_at)])
        if outcome.label is not None:
            tx.add_events(events.event_from_outcome(outcome, at=at, cause=cause))
        if outcome.is_warning_new:
            tx.add_events(events.event_from_warning(outcome, at=at, cause=cause))
    await notifications.publish_job_warnings(tx, [(each.job, at) for each, at in steps if each.is_warning_new])
    await _save_losses_and_checkpoints(tx, [outcome for outcome, _ in steps])
    for outcome, at in steps:
        values = outcome.pinned_values
        if values is not None and (run_id := await pins.save(tx, outcome.job, values)):
            await job_queries.wake_unsubmitted(tx, run_id, at)
    await _unlink_deselected(tx, steps)
    ends = [(each.job, each.previous_state, at) for each, at in steps if _is_end(each)]
    await notifications.publish_job_ends(tx, ends)
    free = {each.job.account: at for each, at in steps if frees_slot(each) and each.job.id not in without_ready_jobs}
    if free:
        await job_queries.wake_ready(tx, free, max(free.values()))


async def _unlink_deselected(tx: Transaction, steps: Sequence[tuple[Outcome, float]]) -> None:
    """Take jobs out of their runs that were deselected while they were submitted, and of which none was created."""
    for outcome, at in steps:
        job = outcome.job
        if outcome.label is JobEvent.SUBMIT_WITHDRAWN and job.is_deselected and not job.earlier_usd:
            await job_queries.unlink_from_run(tx, job.run_id, [job.id])
            await notifications.publish_run_end_after_removal(tx, [job.account], job.run_id, job.run_id, at)


def _is_end(outcome: Outcome) -> bool:
    return outcome.job.state in TERMINAL_STATES and outcome.job.state is not outcome.previous_state


async def _save_losses_and_checkpoints(tx: Transaction, steps: Sequence[Outcome]) -> None:
    # A retry: the new remote job has a curve of its own.
    for job_id in [each.job.id for each in steps if each.previous_state in TERMINAL_STATES]:
        await losses.delete_by_job(tx, job_id)
        await checkpoints.save(tx, job_id, ())
    if reported := {each.job.id: each.losses for each in steps if each.losses}:
        await losses.add_many(tx, reported)
    if kept := {each.job.id: each.checkpoints for each in steps if each.checkpoints}:
        curves = await losses.list_by_jobs(tx.connection, kept)
        numbered = {job_id: number_checkpoints(own, curves.get(job_id, [])) for job_id, own in kept.items()}
        await checkpoints.save_many(tx, numbered)
