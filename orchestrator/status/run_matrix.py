"""Matrix of accounts and current runs: the job of each account in each run."""

from __future__ import annotations

from collections import Counter

from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.structs import Struct
from orchestrator.status.job_facts import load_job_facts
from orchestrator.status.views import JobView
from orchestrator.store.db.database import Database
from orchestrator.store.queries import job_search, runs


class MatrixRow(Struct, frozen=True, kw_only=True):
    """An account with its job in each run; None where the run does not select the account."""

    account: str
    provider: str
    labels: tuple[str, ...]
    jobs: tuple[JobView | None, ...]
    """In the order of the runs."""


class RunMatrix(Struct, frozen=True, kw_only=True):
    """A page of the accounts of all current runs."""

    run_ids: tuple[str, ...]
    """The current runs, the one with the highest priority first."""
    rows: tuple[MatrixRow, ...]
    """By account name."""
    total: int
    """Number of matching accounts on all pages."""
    counts: dict[str, int]
    """Jobs of all runs that match the filter apart from its state, by state; jobs on hold count as "held"."""


async def get_run_matrix(
    database: Database, job_filter: JobFilter, now: float, *, limit: int, skip: int = 0
) -> RunMatrix:
    """Return a page of the accounts that have a matching job in one of the current runs, with all their jobs."""
    jobs: dict[tuple[str, str], JobView] = {}
    counts: Counter[str] = Counter()
    async with database.read_long() as connection:
        current = await runs.list_current(connection)
        page, total = await job_search.list_account_page(connection, current, job_filter, now, limit=limit, skip=skip)
        for run in current:
            counts.update(await job_search.count_by_state(connection, run, job_filter.without_state, now))
        for run in current if page else ():
            loaded = await job_search.list_page(
                connection, run, JobFilter(accounts=tuple(page)), now, limit=2 * len(page)
            )
            facts = await load_job_facts(connection, [run.id], [job for job, _ in loaded])
            for job, state in loaded:
                jobs[job.account, run.id] = facts.build_view(job, run, state, now)
    run_ids = tuple(run.id for run in current)
    rows = tuple(_build_row(name, [jobs.get((name, run)) for run in run_ids]) for name in page)
    return RunMatrix(run_ids=run_ids, rows=rows, total=total, counts=dict(counts))


def _build_row(account: str, jobs: list[JobView | None]) -> MatrixRow:
    first = next(job for job in jobs if job is not None)
    return MatrixRow(account=account, provider=first.provider, labels=tuple(first.labels), jobs=tuple(jobs))
