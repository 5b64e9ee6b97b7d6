"""Overview of a run, and pages of its jobs.

Made for ten thousand accounts: the database filters, counts and sums, and only the jobs of the page are loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.end_range import EndRange, OpenJobs, estimate_end_range
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.job_sort_order import DEFAULT_ORDER, JobSortOrder
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.jobs.poll_interval import end_window_from_durations
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct
from orchestrator.status.job_facts import load_job_facts
from orchestrator.status.job_page import load_job_page
from orchestrator.status.snapshot import load_run_view
from orchestrator.status.views import JobView, RunView, run_view
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import job_search, runs, stats
from orchestrator.store.queries.job_search import ProblemGroup, StateCount
from orchestrator.store.queries.job_search_sql import HELD

__all__ = ["HELD", "JobListing", "ProblemGroup", "RunOverview", "StateCount", "find_run_overview", "list_jobs"]


MAX_DURATIONS = 200  # of the jobs that finished last: enough for the range of their durations


class JobListing(Struct, frozen=True, kw_only=True):
    """A page of jobs."""

    run: RunView
    jobs: tuple[JobView, ...]
    total: int
    """Number of matching jobs on all pages."""
    counts: dict[str, int]
    """Jobs that match the filter apart from its state, by state; jobs on hold count as "held"."""
    next: str | None
    """Cursor of the next page; None on the last one."""


class RunOverview(Struct, frozen=True, kw_only=True):
    """A run with counts of its jobs instead of the jobs themselves."""

    run: RunView
    current: bool
    state_counts: tuple[StateCount, ...]
    problem_groups: tuple[ProblemGroup, ...]
    """Failed and held jobs, by problem: they wait for an operator."""
    labels: tuple[str, ...]
    """All labels of the run's accounts."""
    warnings: tuple[ProblemGroup, ...] = ()
    """Warnings of jobs that continue nevertheless."""
    end_range: EndRange | None = None
    """When the last open job may end; None while too few jobs have finished, or none is open."""

    @property
    def counts(self) -> dict[str, int]:
        """Count jobs by state; jobs on hold count as "held"."""
        return counts_by_state(self.state_counts)

    @property
    def total(self) -> int:
        """Number of jobs of the run."""
        return sum(share.count for share in self.state_counts)

    @property
    def needs_attention(self) -> int:
        """Number of jobs that wait for an operator."""
        return sum(group.count for group in self.problem_groups)

    @property
    def submitted_usd(self) -> float | None:
        """Estimated price of the submitted jobs in USD; None when the price of one of them is unknown."""
        is_known = not any(share.unknown for share in self.state_counts)
        return sum(share.submitted_usd for share in self.state_counts) if is_known else None

    @property
    def first_retirement(self) -> date | None:
        """Earliest day on which a model of the run retires; None when no date is known."""
        return min((share.first_retirement for share in self.state_counts if share.first_retirement), default=None)

    def estimate_end(self, now: float) -> float | None:
        """Estimate when the last open job ends (epoch seconds); None when unknown or no job is open.

        Uses the provider's own estimate, else the mean duration of succeeded jobs, if possible at the same provider.
        """
        durations = [share.lasted for share in self.state_counts if share.lasted is not None]
        longest = max(durations, default=None)
        by_provider = {share.provider: share.lasted for share in self.state_counts if share.lasted is not None}
        open_counts = [share for share in self.state_counts if share.state not in {*TERMINAL_STATES, HELD}]
        ends = [_estimate_end(share, by_provider.get(share.provider, longest), now) for share in open_counts]
        known = [end for end in ends if end is not None]
        return max(*known, now) if known and len(known) == len(ends) else None


async def find_run_overview(database: Database, now: float, *, run_id: str | None = None) -> RunOverview | None:
    """Return the overview of the run that `find_run` finds; None when there is none."""
    async with database.read_long() as connection:
        run = await find_run(connection, run_id)
        if run is None:
            return None
        view = await load_run_view(connection, run)
        state_counts = await job_search.get_state_counts(connection, run, JobFilter(), now)
        problem_groups = await job_search.list_problem_groups(connection, run, JobFilter(), now)
        labels = await job_search.list_labels(connection, run, now)
        end_range = await _estimate_end_range(connection, run, state_counts, now) if run.current else None
        warnings = await job_search.list_warning_groups(connection, run, JobFilter(), now) if run.current else []
    return RunOverview(
        run=view,
        current=run.current,
        state_counts=tuple(state_counts),
        problem_groups=tuple(problem_groups),
        labels=tuple(labels),
        warnings=tuple(warnings),
        end_range=end_range,
    )


async def _estimate_end_range(
    connection: StoreConnection, run: Run, state_counts: Sequence[StateCount], now: float
) -> EndRange | None:
    open_counts = [share for share in state_counts if share.state not in {*TERMINAL_STATES, HELD}]
    windows = {}
    for provider in {share.provider for share in open_counts}:
        durations = await stats.list_recent_durations(connection, run.id, ProviderName(provider), MAX_DURATIONS)
        by_state = counts_by_state(share for share in state_counts if share.provider == provider)
        open_count = sum(count for state, count in by_state.items() if state not in TERMINAL_STATES)
        windows[provider] = end_window_from_durations(durations, by_state.get(JobState.SUCCEEDED, 0), open_count)
    return estimate_end_range(
        (
            OpenJobs(
                window=windows[share.provider],
                last_submitted=share.last_submitted,
                estimated_finish=share.estimated_finish,
            )
            for share in open_counts
        ),
        now,
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
    order: JobSortOrder = DEFAULT_ORDER,
    with_counts: bool = True,
) -> JobListing | None:
    """Return a page of the jobs of the run that `find_run` finds, in this order.

    Returns None when there is no such run. `after` is the `next` of the previous page, and requires
    the default order, by account name; `skip` omits that many jobs. Without counts, all of them are 0: counting takes
    ten times as long as a page, and the overview of the run has the counts of all its jobs.
    """
    async with database.read_long() as connection:
        run = await find_run(connection, run_id)
        if run is None:
            return None
        dataset = await runs.get_dataset_row(connection, run.dataset_sha256)
        counts: dict[str, int] = {}
        if with_counts:
            counts = await job_search.count_by_state(connection, run, job_filter.without_state, now)
        page = await load_job_page(
            connection,
            run,
            job_filter,
            now,
            limit=limit,
            after=after,
            skip=skip,
            order=order,
            total=find_total(counts, job_filter) if with_counts else 0,
        )
        facts = await load_job_facts(connection, [run.id], [job for job, _ in page.rows])
    return JobListing(
        run=run_view(run, dataset),
        jobs=tuple(facts.build_view(job, run, account_state, now) for job, account_state in page.rows),
        total=page.total,
        counts=counts,
        next=page.next,
    )


def find_total(counts: Mapping[str, int], job_filter: JobFilter) -> int | None:
    """Return how many jobs match, if the numbers by displayed state of those that match `without_state` tell it."""
    match job_filter.state, job_filter.held:
        case "", None:
            return sum(counts.values())
        case "", True:
            return counts.get(HELD, 0)
        case state, False if state:
            return counts.get(state, 0)
        case _:
            return None  # a held job is counted as held, whatever its state


def counts_by_state(state_counts: Iterable[StateCount]) -> dict[str, int]:
    """Count jobs by state; jobs on hold count as "held"."""
    counts: Counter[str] = Counter()
    for share in state_counts:
        counts[share.state] += share.count
    return dict(counts)


def _estimate_end(state_count: StateCount, mean_seconds: float | None, now: float) -> float | None:
    if state_count.estimated_finish is not None:
        return state_count.estimated_finish
    if mean_seconds is None:
        return None
    return (state_count.last_submitted or now) + mean_seconds


async def find_run(connection: StoreConnection, run: str | None) -> Run | None:
    """Return the run with this id or the current run with this name; None when there is none.

    When `run` is None, it is the current run; of several, the first by priority, then age.
    """
    if run is None:
        return await runs.find_current(connection)
    by_name = (each for each in await runs.list_current(connection) if each.name == run)
    return await runs.find(connection, RunId(run)) or next(by_name, None)
