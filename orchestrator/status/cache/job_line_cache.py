"""Cache of the encoded jobs of one run: only jobs that changed are encoded again."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice

from orchestrator.core.comparison.gate import NO_VERDICTS, RunVerdicts
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct, replace
from orchestrator.status.cache.job_line import JobLine, build_job_line
from orchestrator.status.job_facts import load_job_facts
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, jobs, row_versions
from orchestrator.store.queries.comparisons import acceptances


class StatusCacheConfig(Struct, frozen=True, kw_only=True):
    """Limits of the status cache. The defaults are tuned for 100,000 jobs (benchmarks/status_at_scale.py)."""

    max_age_seconds: float = 10.0
    """Age after which what depends on the time alone, such as progress, is computed again."""
    build_time_divisor: int = 5
    """While jobs change all the time, building takes this fraction (1/5) of the time, see `pause_after`."""
    build_chunk_lines: int = 50
    """Lines built before the event loop gets a turn."""
    renew_chunk_lines: int = 2000
    """Lines whose values of the time are computed before the event loop gets a turn."""
    max_aged_lines_per_build: int = 300
    """Lines rebuilt because their hold ended in one build, while a reader waits for it; all runs share them."""
    max_wait_seconds: float = 0.02
    """How long a reader waits for a build before it gets the previous document."""
    max_staleness_seconds: float = 3.0
    """Age of the previous document from which a reader waits for the build instead, if building is fast."""
    max_slow_staleness_seconds: float = 10.0
    """The same if building is slow, because there are very many jobs or the machine is busy."""

    def staleness_after(self, build_seconds: float) -> float:
        """Return the age from which the previous document is not served, after a build that took so long.

        Readers must not wait for every build where each takes a second: they would wait most of the time.
        """
        return max(self.max_staleness_seconds, min(6 * build_seconds, self.max_slow_staleness_seconds))

    def pause_after(self, build_seconds: float) -> float:
        """Return for how many seconds no other build begins after one that took so long.

        The next build must end before the previous document is too old, although it may take twice as long; but
        building takes at most two thirds of the time.
        """
        latest = max(self.staleness_after(build_seconds) - 3 * build_seconds, build_seconds / 2)
        return min((self.build_time_divisor - 1) * build_seconds, latest)


class JobLineCache:
    """Holds the encoded jobs of one run by row version (store/queries/row_versions.py)."""

    def __init__(self, config: StatusCacheConfig) -> None:
        self._config = config
        self._lines: dict[str, JobLine] = {}
        """In the order of the document."""
        self._scope: object = None
        """What every line depends on besides its row; another scope makes all cached lines void."""
        self._verdicts = NO_VERDICTS
        """What the lines show of comparisons and acceptances."""
        self._verdicts_version: object = None

    async def update_rows(self, database: Database, run: Run, now: float) -> None:
        """Build the lines of the jobs that changed, and drop those of jobs that have gone."""
        # A line shows the holds that moderation causes, but not its progress, which would void all lines every few
        # seconds. After a comparison or an acceptance only the lines of its models are built again.
        async with database.read_long() as connection:
            # The version is read before the verdicts: a commit in between causes one load too many, not one too few.
            verdicts, verdicts_version = self._verdicts, await acceptances.get_version(connection, run.id)
            if verdicts_version != self._verdicts_version:
                verdicts = await acceptances.load_run_verdicts(connection, run.id)
            versions = await row_versions.list_by_run(connection, run.id)
        scope = (replace(run, moderation=None), run.holds)
        known = self._lines if self._scope == scope else {}
        if changed := verdicts.list_changed_accounts(self._verdicts):
            known = await asyncio.to_thread(_drop_lines, known, changed)
        # In a thread: the event loop gets a turn every few milliseconds, however many jobs there are.
        lines, missing = await asyncio.to_thread(_match_lines, versions, known)
        built = await self._build_lines(database, run, missing, verdicts, now)
        if missing:  # a job may have been deleted between the two queries: then its line is missing
            lines = await asyncio.to_thread(_merge_lines, versions, lines, built)
        self._scope, self._lines = scope, lines
        self._verdicts, self._verdicts_version = verdicts, verdicts_version

    async def get_lines(
        self, database: Database, run: Run, now: float, max_aged: int | None
    ) -> tuple[Sequence[JobLine], bool]:
        """Return the run's lines by account name as they are at `now`, and whether this is so for every line.

        `max_aged`: lines rebuilt because their hold ended; None is all.
        """
        outdated, renewed, today = [], {}, datetime.fromtimestamp(now, UTC).date()
        for chunk in _iter_chunks(self._lines.items(), self._config.renew_chunk_lines):
            for version, line in chunk:
                if line.is_outdated(now):
                    outdated.append(version)
                elif (later := line.at(now, today)) is not line:
                    renewed[version] = later
            await asyncio.sleep(0)
        renewed |= await self._build_lines(database, run, outdated[:max_aged], self._verdicts, now)
        self._lines |= renewed
        return list(self._lines.values()), len(outdated) == len(outdated[:max_aged])

    async def _build_lines(
        self, database: Database, run: Run, versions: Sequence[str], verdicts: RunVerdicts, now: float
    ) -> dict[str, JobLine]:
        lines: dict[str, JobLine] = {}
        for start in range(0, len(versions), self._config.build_chunk_lines):
            async with database.read() as connection:
                chunk = versions[start : start + self._config.build_chunk_lines]
                lines |= await _build_chunk(connection, run, chunk, verdicts, now)
            await asyncio.sleep(0)
        return lines


def _match_lines(versions: Sequence[str], known: Mapping[str, JobLine]) -> tuple[dict[str, JobLine], list[str]]:
    """Return the known lines in the order of the versions, and the versions without a line."""
    lines = {version: line for version in versions if (line := known.get(version))}
    return lines, [version for version in versions if version not in lines] if len(lines) < len(versions) else []


def _drop_lines(lines: Mapping[str, JobLine], accounts: Collection[str]) -> dict[str, JobLine]:
    """Return the lines without those of these accounts."""
    account_of = row_versions.account_from_row_version
    return {version: line for version, line in lines.items() if account_of(version) not in accounts}


def _merge_lines(
    versions: Sequence[str], known: Mapping[str, JobLine], built: Mapping[str, JobLine]
) -> dict[str, JobLine]:
    return {version: line for version in versions if (line := known.get(version) or built.get(version))}


def _iter_chunks(items: Iterable[tuple[str, JobLine]], size: int) -> Iterable[Sequence[tuple[str, JobLine]]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


async def _build_chunk(
    connection: StoreConnection, run: Run, versions: Sequence[str], verdicts: RunVerdicts, now: float
) -> dict[str, JobLine]:
    version_by_job = {row_versions.job_id_from_row_version(version): version for version in versions}
    loaded = await jobs.get_many(connection, list(version_by_job))
    account_states = await accounts.get_many(connection, [job.account for job in loaded.values()])
    facts = await load_job_facts(connection, [run.id], loaded.values(), {run.id: verdicts})
    lines = {}
    for job in loaded.values():
        account_state = account_states[job.account]
        view = facts.build_view(job, run, account_state, now)
        lines[version_by_job[job.id]] = build_job_line(view, job, run, account_state, now)
    return lines
