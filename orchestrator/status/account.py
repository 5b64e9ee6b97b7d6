"""Account: everything that is known of one, its jobs in every run and its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.core.errors import Failure
from orchestrator.core.run import Run
from orchestrator.status.views import JobView, job_view
from orchestrator.store import accounts, events, jobs, runs
from orchestrator.store.database import Database
from orchestrator.store.events import Entry

__all__ = ["AccountView", "Entry", "RunJob", "read_account"]

EVENTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """The account's job in one run."""

    run: str
    run_name: str
    current: bool
    dataset_sha256: str
    job: JobView


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """The account, its jobs, the current run's first, and the newest of its events, the newest first."""

    name: str
    provider: str
    organization: str | None
    project: str | None
    labels: Sequence[str]
    key_fingerprint: str
    verified_at: float | None
    removed_at: float | None
    hold: Failure | None
    jobs: tuple[RunJob, ...]
    events: tuple[Entry, ...]


async def read_account(database: Database, name: str, now: float) -> AccountView | None:
    """The account of this name, or None where there never was one."""
    async with database.read() as connection:
        standing = (await accounts.some(connection, [name])).get(name)
        if standing is None:
            return None
        mine = await jobs.of_accounts(connection, [name])
        latest = await events.newest(connection, [job.id for job in mine])
        known = {run_id: await runs.load(connection, run_id) for run_id in {job.run_id for job in mine}}
        history = await events.of_account(connection, name, EVENTS)
    listed = [
        _run_job(known[job.run_id], job_view(job, known[job.run_id], standing, latest.get(job.id), now))
        for job in mine
    ]
    hold = standing.hold if standing.hold and standing.hold.holds(now) else None
    return AccountView(
        name=name,
        provider=standing.provider,
        organization=standing.organization,
        project=standing.project,
        labels=standing.labels,
        key_fingerprint=standing.key_fingerprint,
        verified_at=standing.verified_at,
        removed_at=standing.removed_at,
        hold=hold.failure if hold else None,
        jobs=tuple(sorted(listed, key=lambda each: (each.current, each.job.created_at), reverse=True)),
        events=tuple(reversed(history)),
    )


def _run_job(run: Run, job: JobView) -> RunJob:
    return RunJob(run=run.id, run_name=run.name, current=run.current, dataset_sha256=run.dataset_sha256, job=job)
