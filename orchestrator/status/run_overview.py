"""Listing: the jobs of one run that a selection means, a page at a time, and how they stand.

For ten thousand accounts: the database chooses, counts and sums; only the page's own jobs are loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES
from orchestrator.core.jobs.run import Run
from orchestrator.status.views import JobView, RunView, job_view, run_view
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, events, job_search, pins, runs
from orchestrator.store.queries.job_search import ProblemGroup, StateCount
from orchestrator.store.queries.job_search_sql import HELD

__all__ = ["HELD", "JobListing", "ProblemGroup", "RunOverview", "StateCount", "find_run_overview", "list_jobs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobListing:
    """A page of jobs. `total` is how many are meant; `next` is the cursor of the page after, None on the last one.

    `counts` is of the same selection in whatever state, by state, held ones as "held".
    """

    run: RunView
    jobs: tuple[JobView, ...]
    total: int
    counts: dict[str, int]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOverview:
    """A run without its jobs: how they stand, and what waits for a person. `warnings` are of jobs that go on."""

    run: RunView
    current: bool
    state_counts: tuple[StateCount, ...]
    problem_groups: tuple[ProblemGroup, ...]
    labels: tuple[str, ...]
    warnings: tuple[ProblemGroup, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Jobs by state, held ones as "held"."""
        return counts_by_state(self.state_counts)

    @property
    def total(self) -> int:
        """How many jobs the run has."""
        return sum(share.count for share in self.state_counts)

    @property
    def needs_attention(self) -> int:
        """How many wait for a person."""
        return sum(cause.count for cause in self.problem_groups)

    @property
    def submitted_usd(self) -> float | None:
        """The estimated price of what the providers have; None when a part is unknown."""
        known = not any(share.unknown for share in self.state_counts)
        return sum(share.submitted_usd for share in self.state_counts) if known else None

    def estimate_end(self, now: float) -> float | None:
        """When the last job that goes on may end; None when nothing goes on, or nothing tells.

        By the provider's own estimate, else by how long those that succeeded took, at the same provider if it can be.
        """
        took = [share.lasted for share in self.state_counts if share.lasted is not None]
        usual = max(took, default=None)
        lasts = {share.provider: share.lasted for share in self.state_counts if share.lasted is not None}
        moving = [share for share in self.state_counts if share.state not in {*TERMINAL_STATES, HELD}]
        ends = [_estimate_end(share, lasts.get(share.provider, usual), now) for share in moving]
        known = [end for end in ends if end is not None]
        return max(*known, now) if known and len(known) == len(ends) else None


async def find_run_overview(database: Database, now: float, *, run_id: str | None = None) -> RunOverview | None:
    """The current run, or the one with this id; None when there is none."""
    async with database.read_long() as connection:
        run = await find_run(connection, run_id)
        if run is None:
            return None
        dataset = await runs.get_dataset_row(connection, run.dataset_sha256)
        used = await pins.list_used_values(connection, run.id)
        twins = await accounts.list_shared_keys(connection) if run.current else []
        shares = await job_search.get_state_counts(connection, run, JobFilter(), now)
        causes = await job_search.list_problem_groups(connection, run, JobFilter(), now)
        labels = await job_search.list_labels(connection, run, now)
        warnings = await job_search.list_warning_groups(connection, run, JobFilter(), now) if run.current else []
    return RunOverview(
        run=run_view(run, dataset, used, twins),
        current=run.current,
        state_counts=tuple(shares),
        problem_groups=tuple(causes),
        labels=tuple(labels),
        warnings=tuple(warnings),
    )


async def list_jobs(
    database: Database,
    job_filter: JobFilter,
    now: float,
    *,
    run_id: str | None = None,
    limit: int = 50,
    after: str = "",
    skip: int = 0,
) -> JobListing | None:
    """A page of the current run's jobs, or of the run with this id, by account name; None when there is no such run.

    `after` is the `next` of the page before; `skip` leaves out that many.
    """
    async with database.read_long() as connection:
        run = await find_run(connection, run_id)
        if run is None:
            return None
        dataset = await runs.get_dataset_row(connection, run.dataset_sha256)
        account, _, job = after.partition(":")
        rows = await job_search.list_page(
            connection, run, job_filter, now, limit=limit + 1, after=(account, job), skip=skip
        )
        shares = await job_search.get_state_counts(connection, run, job_filter.without_state, now)
        total = await job_search.count(connection, run, job_filter, now)
        latest = await events.get_latest_notes(connection, [job.id for job, _ in rows])
    views = tuple(job_view(job, run, standing, latest.get(job.id), now) for job, standing in rows[:limit])
    return JobListing(
        run=run_view(run, dataset),
        jobs=views,
        total=total,
        counts=counts_by_state(shares),
        next=f"{views[-1].account}:{views[-1].job}" if len(rows) > limit else None,
    )


def counts_by_state(state_counts: Iterable[StateCount]) -> dict[str, int]:
    """Jobs by state, held ones as "held"."""
    counts: Counter[str] = Counter()
    for share in state_counts:
        counts[share.state] += share.count
    return dict(counts)


def _estimate_end(state_count: StateCount, usual_seconds: float | None, now: float) -> float | None:
    if state_count.estimated_finish is not None:
        return state_count.estimated_finish
    if usual_seconds is None:
        return None
    return (state_count.last_submitted or now) + usual_seconds


async def find_run(connection: StoreConnection, run_id: str | None) -> Run | None:
    """The run with this id, else the current one, if there is one."""
    return await (runs.find_current(connection) if run_id is None else runs.find(connection, RunId(run_id)))
