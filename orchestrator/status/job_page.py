"""A page of the matching jobs of a run, as it is stored: the common part of the lists of jobs and of timelines."""

from __future__ import annotations

from orchestrator.core.account_state import AccountState
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.job_sort_order import DEFAULT_ORDER, JobSortOrder
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.queries import job_search


class JobPage(Struct, frozen=True, kw_only=True):
    """Jobs with the states of their accounts."""

    rows: tuple[tuple[Job, AccountState], ...]
    total: int
    """Number of matching jobs on all pages."""
    next: str | None
    """Cursor of the next page; None on the last one."""


async def load_job_page(
    connection: StoreConnection,
    run: Run,
    job_filter: JobFilter,
    now: float,
    *,
    limit: int,
    after: str = "",
    skip: int = 0,
    order: JobSortOrder = DEFAULT_ORDER,
    total: int | None = None,
) -> JobPage:
    """Load up to `limit` matching jobs. `after` is the `next` of the previous page, for the default order only.

    The matching jobs are counted unless `total` is their number.
    """
    account, _, job = after.partition(":")
    # One row more than the page shows whether there is a next page.
    rows = await job_search.list_page(
        connection, run, job_filter, now, limit=limit + 1, after=(account, job), skip=skip, order=order
    )
    if total is None:
        total = await job_search.count(connection, run, job_filter, now)
    page = tuple(rows[:limit])
    last = page[-1][0] if page else None
    has_more = last is not None and len(rows) > limit
    return JobPage(rows=page, total=total, next=f"{last.account}:{last.id}" if last and has_more else None)
