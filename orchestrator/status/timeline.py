"""Timelines of the jobs of a run: where the time of each account goes."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.job_sort_order import DEFAULT_ORDER, JobSortOrder
from orchestrator.core.jobs.timeline import JobTimeline, PhaseTotal, StateChange, build_job_timeline, sum_phases
from orchestrator.core.structs import Struct
from orchestrator.status.job_page import load_job_page
from orchestrator.status.run_overview import find_run
from orchestrator.store.db.database import Database
from orchestrator.store.queries import events


class TimelineRow(Struct, frozen=True, kw_only=True):
    """The timeline of one account's job."""

    account: str
    provider: str
    job: str
    state: str
    timeline: JobTimeline


class RunTimeline(Struct, frozen=True, kw_only=True):
    """The timelines of the matching jobs of a run, or of a part of them."""

    run: str
    run_name: str
    rows: tuple[TimelineRow, ...]
    """In the order of the request."""
    phase_totals: tuple[PhaseTotal, ...]
    """Sums over the rows, the phase with the most time first."""
    total: int
    """Number of matching jobs, also of those that are not among the rows."""
    next: str | None
    """Cursor of the next part; None for the last one."""


async def find_timeline(
    database: Database,
    job_filter: JobFilter,
    now: float,
    *,
    run_id: str | None = None,
    limit: int,
    after: str = "",
    order: JobSortOrder = DEFAULT_ORDER,
) -> RunTimeline | None:
    """Return the timelines of up to `limit` jobs of the current run, or of the run with this id, in this order.

    Returns None when there is no such run. `after` is the `next` of the previous part, for the default order only.
    """
    async with database.read_long() as connection:
        run = await find_run(connection, run_id)
        if run is None:
            return None
        page = await load_job_page(connection, run, job_filter, now, limit=limit, after=after, order=order)
        changes = await events.list_state_changes(connection, [(job.id, job.account) for job, _ in page.rows])
    rows = tuple(_build_row(job, changes.get(job.id, ()), now) for job, _ in page.rows)
    return RunTimeline(
        run=run.id,
        run_name=run.name,
        rows=rows,
        phase_totals=tuple(sum_phases((row.account, row.timeline) for row in rows)),
        total=page.total,
        next=page.next,
    )


def _build_row(job: Job, changes: Iterable[StateChange], now: float) -> TimelineRow:
    return TimelineRow(
        account=job.account,
        provider=job.provider,
        job=job.id,
        state=job.state,
        timeline=build_job_timeline(job.state, job.created_at, changes, now),
    )
