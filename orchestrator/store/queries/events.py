"""Queries about events, the append-only history. They are written through `Transaction.add_events`."""

from __future__ import annotations

from collections.abc import Sequence
from sys import intern
from typing import Any

from sqlalchemy import Select, delete, func, or_, select

from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES
from orchestrator.core.jobs.timeline import HELD_NOTE, RELEASED_NOTE, StateChange
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.store.db.any_of import any_of
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.schema.tables import events, jobs, run_jobs, runs


class StoredEvent(EventData, frozen=True, kw_only=True):
    """An event with its id. Later events have larger ids."""

    id: int


class RunEvent(StoredEvent, frozen=True, kw_only=True):
    """A stored event with the name of its run; None for an event of the account itself."""

    run_name: str | None


_COLUMNS = [column for column in events.c if column.name != "id"]


def event_from_outcome(outcome: Outcome, *, at: float, cause: str) -> EventData:
    """Build the event of an outcome."""
    job = outcome.job
    return EventData(
        at=at,
        cause=cause,
        note=outcome.label or "",
        account=job.account,
        run_id=job.run_id,
        job_id=job.id,
        state_before=outcome.previous_state,
        state_after=job.state,
        attempt=job.attempts,
        remote_job_id=job.remote_job_id,
        request_id=outcome.request_id,
        message=f"{outcome.failure.kind}: {outcome.failure.message}" if outcome.failure else outcome.detail,
    )


def event_from_warning(outcome: Outcome, *, at: float, cause: str) -> EventData:
    """Build the event of a new warning of a job."""
    job = outcome.job
    return EventData(
        at=at,
        cause=cause,
        note="warning",
        account=job.account,
        run_id=job.run_id,
        job_id=job.id,
        state_before=job.state,
        state_after=job.state,
        attempt=job.attempts,
        remote_job_id=job.remote_job_id,
        request_id=job.warning.request_id if job.warning else None,
        message=f"{job.warning.kind}: {job.warning.message}" if job.warning else None,
    )


_latest_ids = select(func.max(events.c.id)).where(any_of(events.c.job_id, "ids"))
_SELECT_LATEST_NOTES = select(events.c.job_id, events.c.note).where(
    events.c.id.in_(_latest_ids.group_by(events.c.job_id))
)


async def list_by_account(connection: StoreConnection, account: str, limit: int = 1000) -> list[EventData]:
    """Return the newest events of the account, oldest first."""
    query = select(*_COLUMNS).where(events.c.account == account).order_by(events.c.id.desc()).limit(limit)
    return [EventData(**row._mapping) for row in reversed((await connection.execute(query)).all())]


async def list_after(
    connection: StoreConnection, after_id: int, *, limit: int, account: str = "", run: str = "", job: str = ""
) -> list[StoredEvent]:
    """Return events with larger ids, of everything or of one account, run or job, the oldest first.

    `run` is the name or id of runs.
    """
    filters = ((events.c.account, account), (events.c.job_id, job))
    conditions = [column == value for column, value in filters if value]
    if run:
        conditions.append(events.c.run_id.in_(_select_run_ids(run)))
    query = select(events).where(events.c.id > after_id, *conditions).order_by(events.c.id).limit(limit)
    return [StoredEvent(**row._mapping) for row in await connection.execute(query)]


async def list_run_ids(connection: StoreConnection, run: str) -> frozenset[str]:
    """Return the ids of the runs with this name or id."""
    return frozenset((await connection.execute(_select_run_ids(run))).scalars())


def _select_run_ids(run: str) -> Select[Any]:
    return select(runs.c.id).where(or_(runs.c.id == run, runs.c.name == run))


async def list_latest(
    connection: StoreConnection, account: str, *, limit: int | None, after_id: int = 0, run: str = ""
) -> list[RunEvent]:
    """Return the newest events of the account and its runs with ids above `after_id`, oldest first.

    `run` is the name or id of runs: only their events are returned, and those of the account itself, which belong to
    no run.
    """
    own_runs = select(run_jobs.c.run_id).join(jobs, jobs.c.id == run_jobs.c.job_id).where(jobs.c.account == account)
    concerns_its_run = events.c.account.is_(None) & events.c.run_id.in_(own_runs)  # for example an approval
    query = (
        select(events, runs.c.name.label("run_name"))
        .join(runs, runs.c.id == events.c.run_id, isouter=True)
        .where(or_(events.c.account == account, concerns_its_run), events.c.id > after_id)
        .order_by(events.c.id.desc())
        .limit(limit)
    )
    if run:
        query = query.where(or_(events.c.run_id.is_(None), runs.c.id == run, runs.c.name == run))
    return [RunEvent(**row._mapping) for row in reversed((await connection.execute(query)).all())]


async def get_latest_id(connection: StoreConnection) -> int:
    """Return the id of the newest event; 0 when there is none."""
    return (await connection.execute(select(func.max(events.c.id)))).scalar_one() or 0


async def get_latest_notes(connection: StoreConnection, ids: Sequence[JobId]) -> dict[JobId, str]:
    """Return the note of the newest event of each job; for some hundreds of jobs at most."""
    rows = await connection.execute(_SELECT_LATEST_NOTES, {"ids": ids})
    return {JobId(job_id): intern(note) for job_id, note in rows}  # few notes, thousands of jobs


_HOLD_NOTES = (HELD_NOTE, RELEASED_NOTE)
_CHANGE_COLUMNS = (events.c.id, events.c.at, events.c.note, events.c.state_before, events.c.state_after)
_SELECT_JOB_CHANGES = select(events.c.job_id, *_CHANGE_COLUMNS).where(
    any_of(events.c.job_id, "ids"),
    or_(
        events.c.state_before.is_(None), events.c.state_before != events.c.state_after, events.c.note.in_(_HOLD_NOTES)
    ),
)
_SELECT_ACCOUNT_HOLDS = select(events.c.account, *_CHANGE_COLUMNS).where(
    any_of(events.c.account, "names"), events.c.job_id.is_(None), events.c.note.in_(_HOLD_NOTES)
)


async def list_state_changes(
    connection: StoreConnection, owned: Sequence[tuple[JobId, str]]
) -> dict[JobId, list[StateChange]]:
    """Return the state changes and holds of each job, given with its account, in the order in which they were stored.

    Holds and releases of the account are among them.
    """
    found: dict[str, list[tuple[int, StateChange]]] = {}
    by_job = await connection.execute(_SELECT_JOB_CHANGES, {"ids": [job_id for job_id, _ in owned]})
    by_account = await connection.execute(_SELECT_ACCOUNT_HOLDS, {"names": [account for _, account in owned]})
    for rows in (by_job, by_account):
        for owner, number, at, note, before, after in rows:
            change = StateChange(at=at, note=intern(note), before=before, after=after)
            found.setdefault(owner, []).append((number, change))
    changes: dict[JobId, list[StateChange]] = {}
    for job_id, account in owned:
        both = [*found.get(job_id, ()), *found.get(account, ())]
        changes[job_id] = [change for _, change in sorted(both, key=lambda entry: entry[0])]
    return changes


async def delete_old(tx: Transaction, before: float, limit: int) -> int:
    """Delete up to `limit` events from before that time; returns how many.

    Events of open jobs and the last event of every job are kept.
    """
    newer = events.alias()
    unfinished = select(jobs.c.id).where(jobs.c.state.not_in(TERMINAL_STATES))
    is_deletable = events.c.job_id.not_in(unfinished) & (
        select(newer.c.id).where(newer.c.job_id == events.c.job_id, newer.c.id > events.c.id).exists()
    )
    old = (
        select(events.c.id)
        .where(events.c.at < before, events.c.job_id.is_(None) | is_deletable)
        .order_by(events.c.id)
        .limit(limit)
    )
    return (await tx.connection.execute(delete(events).where(events.c.id.in_(old)))).rowcount
