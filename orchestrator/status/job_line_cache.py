"""Cache of the encoded jobs of one run: only jobs that changed, or that show the time, are encoded again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import Run
from orchestrator.status.job_facts import load_job_facts
from orchestrator.status.views import view_to_dict
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, jobs, row_versions
from orchestrator.store.queries.comparisons import acceptances


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCacheConfig:
    """Limits of the status cache. The defaults are tuned for 10,000 jobs (benchmarks/status.py)."""

    max_age_seconds: float = 10.0
    """Age after which what depends on the time alone, such as progress, is computed again."""
    build_time_divisor: int = 5
    """While jobs change all the time, building takes at most this fraction (1/5) of the time."""
    build_chunk_lines: int = 50
    """Lines built before the event loop gets a turn."""
    max_aged_lines_per_build: int = 300
    """Lines rebuilt because of their age in one build, while a reader waits for it; all runs share them."""
    max_wait_seconds: float = 0.02
    """How long a reader waits for a build before it gets the previous document."""
    max_staleness_seconds: float = 3.0
    """Age of the previous document from which a reader waits for the build instead."""


@dataclass(frozen=True, slots=True)
class JobLine:
    """An encoded job."""

    built_at: float
    """Wall clock, epoch seconds."""
    depends_on_time: bool
    """Whether it shows something that changes without a commit: progress, or the end of a hold."""
    state: str
    """The state it counts for in `counts`: `held`, or the job's state."""
    settled: bool
    """Whether the job changes only by an operator's action."""
    text: bytes
    """The job as JSON."""


class JobLineCache:
    """Holds the encoded jobs of one run by row version (store/queries/row_versions.py)."""

    def __init__(self, config: StatusCacheConfig) -> None:
        self._config = config
        self._lines: dict[str, JobLine] = {}
        self._scope: object = None
        """What every line depends on besides its row; another scope makes all cached lines void."""

    async def get_lines(
        self, database: Database, run: Run, now: float, max_aged: int | None
    ) -> tuple[list[JobLine], bool]:
        """Return the run's lines by account name, and whether every line that is too old was rebuilt.

        `max_aged`: lines rebuilt for their age alone; None is all.
        """
        # A line shows the days left of its model, hence the hour. It shows the holds that moderation causes, but not
        # its progress, which would void all lines every few seconds.
        # Every line is built again after a comparison or an acceptance: both are rare.
        async with database.read_long() as connection:
            comparisons_version = await acceptances.get_version(connection, run.id)
            versions = await row_versions.list_by_run(connection, run.id)
        scope = (replace(run, moderation=None), run.holds, comparisons_version, now // 3600)
        if self._scope != scope:
            self._scope, self._lines = scope, {}
        lines = {version: line for version in versions if (line := self._lines.get(version))}
        await asyncio.sleep(0)
        max_age, chunk_lines = self._config.max_age_seconds, self._config.build_chunk_lines
        aged = [version for version, line in lines.items() if line.depends_on_time and now - line.built_at >= max_age]
        missing = [version for version in versions if version not in lines]
        outdated = [*missing, *aged[:max_aged]]
        for start in range(0, len(outdated), chunk_lines):
            async with database.read() as connection:
                lines |= await _build_lines(connection, run, outdated[start : start + chunk_lines], now)
            await asyncio.sleep(0)
        self._lines = lines  # row versions that no job has any more are dropped with it
        # A job may have been deleted between the two queries: then its line is missing.
        return [lines[version] for version in versions if version in lines], len(aged) == len(aged[:max_aged])


async def _build_lines(
    connection: StoreConnection, run: Run, versions: Sequence[str], now: float
) -> dict[str, JobLine]:
    version_by_job = {row_versions.job_id_from_row_version(version): version for version in versions}
    loaded = await jobs.get_many(connection, list(version_by_job))
    account_states = await accounts.get_many(connection, [job.account for job in loaded.values()])
    facts = await load_job_facts(connection, [run.id], loaded.values())
    lines = {}
    for job in loaded.values():
        account_state = account_states[job.account]
        view = facts.build_view(job, run, account_state, now)
        hold_ends = any(hold and hold.until for hold in (job.hold, account_state.hold))
        lines[version_by_job[job.id]] = JobLine(
            built_at=now,
            depends_on_time=hold_ends or job.state is JobState.RUNNING,
            state="held" if view.held else view.state,
            settled=view.settled,
            text=msgspec.json.encode(view_to_dict(view)),
        )
    return lines
