"""Queries about notifications: written to an outbox table in the transaction of the change that they report.

The delivery worker later turns each of them into one delivery for every subscribed target (queries/deliveries.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from uuid import uuid4

from sqlalchemy import ColumnElement, FromClause, Select, exists, func, insert, literal, select

from orchestrator.core.account_state import AccountState
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, UNSUBMITTED_STATES, JobState
from orchestrator.core.notifications.notification import (
    Notification,
    build_account_held_notification,
    build_job_notification,
    build_run_finished_notification,
    build_warning_notification,
)
from orchestrator.store.db.any_of import any_of, is_one_of
from orchestrator.store.db.connection import StoreConnection, execute_each
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import accounts, announcements, jobs, run_jobs


async def publish(tx: Transaction, notification: Notification) -> None:
    """Publish a notification to all targets that are subscribed to its topic; each gets it at least once.

    It belongs to the transaction of the change that it reports, so both are committed or neither is. It does not
    check for duplicates: the caller stores in the same transaction what it has published. It must not contain a key.
    """
    await publish_many(tx, [notification])


async def publish_many(tx: Transaction, notifications: Iterable[Notification]) -> None:
    """Publish several notifications, in their order, with one statement."""
    rows = (
        {"id": f"msg_{uuid4().hex}", "at": each.at, "topic": each.topic.value, "payload": each.to_payload()}
        for each in notifications
    )
    await execute_each(tx.connection, _INSERT, rows)


async def publish_account_hold(tx: Transaction, before: AccountState, after: AccountState, at: float) -> None:
    """Publish the hold of an account if it is new."""
    if notification := build_account_held_notification(before, after, at):
        await publish(tx, notification)


async def publish_job_warnings(tx: Transaction, warned: Iterable[tuple[Job, float]]) -> None:
    """Publish the warnings of jobs, each with its time; they must be new."""
    await publish_many(tx, [build_warning_notification(job, at) for job, at in warned])


async def publish_job_ends(tx: Transaction, ended: Sequence[tuple[Job, JobState, float]]) -> None:
    """Publish the ends of jobs, given with the state before and the time, and the ends of their runs.

    Call it when the ends of all these jobs are written: a run has ended if none of its jobs is open. A job that did
    not count as open, because it was never to start, ends no run: its end was published without it.
    """
    if not ended:
        return
    built = [build_job_notification(job, before, at) for job, before, at in ended]
    notifications = [each for each in built if each is not None]
    at = max(at for _, _, at in ended)
    submitted = [job.id for job, before, _ in ended if before not in UNSUBMITTED_STATES]
    values = {"ids": [job.id for job, _, _ in ended], "submitted": submitted}
    for run in (await tx.connection.execute(_SELECT_ENDED_RUNS, values)).scalars():
        counts = await _count_ended_jobs(tx.connection, RunId(run))
        notifications.append(build_run_finished_notification(RunId(run), counts, at))
    await publish_many(tx, notifications)


async def publish_run_end_after_removal(
    tx: Transaction, names: Collection[str], before: RunId, run: RunId, at: float
) -> None:
    """Publish the end of the run if its only open jobs were in these accounts, which do not belong to it any more.

    They were just removed from the accounts file, or the run does not select them any more. `before` is the run that
    was current until now: open jobs in these accounts still belong to it.
    """
    left = is_one_of(jobs.c.account, names) & (jobs.c.run_id == before) & _OPEN & _IS_UNSUBMITTED
    if (await tx.connection.execute(select(jobs.c.id).where(left).limit(1))).first() is None:
        return
    if (await tx.connection.execute(_select_open_job(literal(run)))).first() is None:
        await publish(tx, build_run_finished_notification(run, await _count_ended_jobs(tx.connection, run), at))


async def _count_ended_jobs(connection: StoreConnection, run: RunId) -> dict[JobState, int]:
    counted = select(jobs.c.state, func.count()).where(
        jobs.c.run_id == run, jobs.c.state.in_(sorted(TERMINAL_STATES))
    )
    rows = await connection.execute(counted.group_by(jobs.c.state))
    return {JobState(state): count for state, count in rows}


_OPEN = jobs.c.state.in_(sorted(frozenset(JobState) - TERMINAL_STATES))
_IS_UNSUBMITTED = jobs.c.state.in_(sorted(UNSUBMITTED_STATES))  # while one is submitted, it may exist already


def _select_open_job(run: ColumnElement[str]) -> Select[tuple[str]]:
    """Select an open job of the run.

    Unsubmitted jobs of removed accounts, and of accounts that the run does not select, do not count: they will never
    start.
    """
    is_abandoned = accounts.c.removed_at.is_not(None) & _IS_UNSUBMITTED
    query = select(jobs.c.id).join(accounts, accounts.c.name == jobs.c.account)
    return query.where(jobs.c.run_id == run, _OPEN, ~is_abandoned, _is_linked(jobs)).limit(1)


def _is_linked(job: FromClause) -> ColumnElement[bool]:
    return exists().where(run_jobs.c.run_id == job.c.run_id, run_jobs.c.job_id == job.c.id)


# Built once: compiling a statement takes longer than executing it.
_INSERT = insert(announcements)
_ended = jobs.alias("ended")
# The run of the row, not that of the loaded job: a new plan may have moved the job to another run meanwhile.
_runs_of_jobs = (
    select(_ended.c.run_id)
    .join(accounts, accounts.c.name == _ended.c.account)
    .where(any_of(_ended.c.id, "ids"), _is_linked(_ended))
    .where(accounts.c.removed_at.is_(None) | any_of(_ended.c.id, "submitted"))
    .distinct()
    .subquery("runs_of_jobs")
)
_SELECT_ENDED_RUNS = select(_runs_of_jobs.c.run_id).where(
    _select_open_job(_runs_of_jobs.c.run_id).scalar_subquery().is_(None)
)
