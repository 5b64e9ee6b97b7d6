"""Account: everything that is known of one, its jobs in every run and its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.core.account import ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.run import Run
from orchestrator.status.views import JobView, job_view
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData
from orchestrator.store.queries import accounts, events, jobs, runs

__all__ = ["AccountSummary", "AccountView", "EventData", "RunJob", "find_account", "find_job", "list_accounts"]

MAX_ACCOUNT_EVENTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """The account's job in one run; `spec` is what was asked for there."""

    run: str
    run_name: str
    current: bool
    dataset_sha256: str
    spec: Mapping[str, Any]
    job: JobView


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSummary:
    """What is known of an account without its jobs."""

    name: str
    provider: str
    organization: str | None
    project: str | None
    labels: Sequence[str]
    key_fingerprint: str
    verified_at: float | None
    removed_at: float | None
    hold: Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView(AccountSummary):
    """The account, its jobs, the current run's first, and the newest of its events, the newest first."""

    jobs: tuple[RunJob, ...]
    events: tuple[EventData, ...]


async def list_accounts(database: Database, now: float, *, limit: int, after: str = "") -> list[AccountSummary]:
    """Every account that is or was listed, by name, those after this name."""
    async with database.read() as connection:
        standings = await accounts.list_page(connection, after, limit)
    return [AccountSummary(**_account_fields(standing, now)) for standing in standings]


async def find_job(database: Database, job_id: str, now: float) -> RunJob | None:
    """The job with this id, or None where there is none."""
    async with database.read() as connection:
        loaded = await jobs.load(connection, JobId(job_id))
        if loaded is None:
            return None
        latest = await events.get_latest_notes(connection, [loaded.job.id])
    return _run_job(
        loaded.run, job_view(loaded.job, loaded.run, loaded.account_state, latest.get(loaded.job.id), now)
    )


async def find_account(database: Database, name: str, now: float) -> AccountView | None:
    """The account of this name, or None where there never was one."""
    async with database.read() as connection:
        standing = (await accounts.get_many(connection, [name])).get(name)
        if standing is None:
            return None
        mine = await jobs.list_by_accounts(connection, [name])
        latest = await events.get_latest_notes(connection, [job.id for job in mine])
        known = {run_id: await runs.get(connection, run_id) for run_id in {job.run_id for job in mine}}
        history = await events.list_by_account(connection, name, MAX_ACCOUNT_EVENTS)
    listed = [
        _run_job(known[job.run_id], job_view(job, known[job.run_id], standing, latest.get(job.id), now))
        for job in mine
    ]
    return AccountView(
        **_account_fields(standing, now),
        jobs=tuple(sorted(listed, key=lambda each: (each.current, each.job.created_at), reverse=True)),
        events=tuple(reversed(history)),
    )


def _account_fields(standing: AccountState, now: float) -> dict[str, Any]:
    hold = standing.hold if standing.hold and standing.hold.is_active(now) else None
    return {
        "name": standing.name,
        "provider": standing.provider,
        "organization": standing.organization,
        "project": standing.project,
        "labels": standing.labels,
        "key_fingerprint": standing.key_fingerprint,
        "verified_at": standing.verified_at,
        "removed_at": standing.removed_at,
        "hold": hold.failure if hold else None,
    }


def _run_job(run: Run, job: JobView) -> RunJob:
    spec = run.specs.get(ProviderName(job.provider))
    return RunJob(
        run=run.id,
        run_name=run.name,
        current=run.current,
        dataset_sha256=run.dataset_sha256,
        spec=spec.as_dict() if spec else {},
        job=job,
    )
