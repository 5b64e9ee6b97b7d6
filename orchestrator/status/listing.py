"""Listing: the jobs of one run that a selection means, a page at a time, and how they stand.

For ten thousand accounts: the database chooses, counts and sums; only the page's own jobs are loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.core.job import RunId
from orchestrator.core.lifecycle import ENDS
from orchestrator.core.run import Run
from orchestrator.core.selection import Selection
from orchestrator.status.views import JobView, RunView, job_view, run_view
from orchestrator.store import accounts, events, pins, runs, selected
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.database import Database
from orchestrator.store.selected import Cause, Share
from orchestrator.store.sight import HELD

__all__ = ["HELD", "Cause", "Glance", "Listing", "Share", "glance", "list_jobs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A page of jobs. `total` is how many are meant; `next` is the cursor of the page after, None on the last one.

    `counts` is of the same selection in whatever state, by state, held ones as "held".
    """

    run: RunView
    jobs: tuple[JobView, ...]
    total: int
    counts: dict[str, int]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """A run without its jobs: how they stand, and what waits for a person. `warnings` are of jobs that go on."""

    run: RunView
    current: bool
    shares: tuple[Share, ...]
    causes: tuple[Cause, ...]
    labels: tuple[str, ...]
    warnings: tuple[Cause, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Jobs by state, held ones as "held"."""
        return by_state(self.shares)

    @property
    def total(self) -> int:
        """How many jobs the run has."""
        return sum(share.count for share in self.shares)

    @property
    def needy(self) -> int:
        """How many wait for a person."""
        return sum(cause.count for cause in self.causes)

    @property
    def submitted_usd(self) -> float | None:
        """The estimated price of what the providers have; None when a part is unknown."""
        known = not any(share.unknown for share in self.shares)
        return sum(share.submitted_usd for share in self.shares) if known else None

    def ends_at(self, now: float) -> float | None:
        """When the last job that goes on may end; None when nothing goes on, or nothing tells.

        By the provider's own estimate, else by how long those that succeeded took, at the same provider if it can be.
        """
        took = [share.lasted for share in self.shares if share.lasted is not None]
        usual = max(took, default=None)
        lasts = {share.provider: share.lasted for share in self.shares if share.lasted is not None}
        moving = [share for share in self.shares if share.state not in {*ENDS, HELD}]
        ends = [_end(share, lasts.get(share.provider, usual), now) for share in moving]
        known = [end for end in ends if end is not None]
        return max(*known, now) if known and len(known) == len(ends) else None


async def glance(database: Database, now: float, *, run_id: str | None = None) -> Glance | None:
    """The current run, or the one with this id; None when there is none."""
    async with database.survey() as connection:
        run = await find_run(connection, run_id)
        if run is None:
            return None
        dataset = await runs.dataset_row(connection, run.dataset_sha256)
        used = await pins.used(connection, run.id)
        twins = await accounts.same_definitions(connection) if run.current else []
        shares = await selected.shares(connection, run, Selection(), now)
        causes = await selected.causes(connection, run, Selection(), now)
        labels = await selected.labels(connection, run, now)
        warnings = await selected.warnings(connection, run, Selection(), now) if run.current else []
    return Glance(
        run=run_view(run, dataset, used, twins),
        current=run.current,
        shares=tuple(shares),
        causes=tuple(causes),
        labels=tuple(labels),
        warnings=tuple(warnings),
    )


async def list_jobs(
    database: Database,
    selection: Selection,
    now: float,
    *,
    run_id: str | None = None,
    limit: int = 50,
    after: str = "",
    skip: int = 0,
) -> Listing | None:
    """A page of the current run's jobs, or of the run with this id, by account name; None when there is no such run.

    `after` is the `next` of the page before; `skip` leaves out that many.
    """
    async with database.survey() as connection:
        run = await find_run(connection, run_id)
        if run is None:
            return None
        dataset = await runs.dataset_row(connection, run.dataset_sha256)
        account, _, job = after.partition(":")
        rows = await selected.page(connection, run, selection, now, limit=limit + 1, after=(account, job), skip=skip)
        shares = await selected.shares(connection, run, selection.in_any_state, now)
        total = await selected.count(connection, run, selection, now)
        latest = await events.newest(connection, [job.id for job, _ in rows])
    views = tuple(job_view(job, run, standing, latest.get(job.id), now) for job, standing in rows[:limit])
    return Listing(
        run=run_view(run, dataset),
        jobs=views,
        total=total,
        counts=by_state(shares),
        next=f"{views[-1].account}:{views[-1].job}" if len(rows) > limit else None,
    )


def by_state(shares: Iterable[Share]) -> dict[str, int]:
    """Jobs by state, held ones as "held"."""
    counts: Counter[str] = Counter()
    for share in shares:
        counts[share.state] += share.count
    return dict(counts)


def _end(share: Share, lasts: float | None, now: float) -> float | None:
    if share.estimated_finish is not None:
        return share.estimated_finish
    if lasts is None:
        return None
    return (share.last_submitted or now) + lasts


async def find_run(connection: AsyncConnection, run_id: str | None) -> Run | None:
    """The run with this id, else the current one, if there is one."""
    return await (runs.current(connection) if run_id is None else runs.find(connection, RunId(run_id)))
