"""Views of one account: its state, its jobs in all runs and its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.core.account import ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct
from orchestrator.status.job_facts import load_job_facts
from orchestrator.status.views import JobView
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData
from orchestrator.store.queries import accounts, events, jobs, runs

__all__ = ["AccountSummary", "AccountView", "EventData", "RunJob", "find_account", "find_job", "list_accounts"]

MAX_ACCOUNT_EVENTS = 200


class RunJob(Struct, frozen=True, kw_only=True):
    """An account's job in one run; `spec` is the run's training spec for the provider."""

    run: str
    run_name: str
    current: bool
    dataset_sha256: str
    spec: Mapping[str, Any]
    job: JobView


class AccountSummary(Struct, frozen=True, kw_only=True):
    """An account without its jobs."""

    name: str
    provider: str
    organization: str | None
    project: str | None
    labels: Sequence[str]
    key_fingerprint: str
    verified_at: float | None
    removed_at: float | None
    hold: Failure | None


class AccountView(AccountSummary, frozen=True, kw_only=True):
    """An account with its jobs (those of the current run first) and its newest events (the newest first)."""

    jobs: tuple[RunJob, ...]
    events: tuple[EventData, ...]


async def list_accounts(database: Database, now: float, *, limit: int, after: str = "") -> list[AccountSummary]:
    """Return accounts that are or were listed, in the order of their names, after the name `after`."""
    async with database.read() as connection:
        states = await accounts.list_page(connection, after, limit)
    return [AccountSummary(**_account_fields(state, now)) for state in states]


async def find_job(database: Database, job_id: str, now: float) -> RunJob | None:
    """Return the job with this id, or None."""
    async with database.read() as connection:
        loaded = await jobs.load(connection, JobId(job_id))
        if loaded is None:
            return None
        facts = await load_job_facts(connection, [loaded.run.id], [loaded.job])
    return _run_job(loaded.run, facts.build_view(loaded.job, loaded.run, loaded.account_state, now))


async def find_account(database: Database, name: str, now: float) -> AccountView | None:
    """Return the account with this name, or None when it was never listed."""
    async with database.read() as connection:
        account_state = (await accounts.get_many(connection, [name])).get(name)
        if account_state is None:
            return None
        own_jobs = await jobs.list_by_accounts(connection, [name])
        runs_by_id = {run_id: await runs.get(connection, run_id) for run_id in {job.run_id for job in own_jobs}}
        facts = await load_job_facts(connection, runs_by_id, own_jobs)
        history = await events.list_by_account(connection, name, MAX_ACCOUNT_EVENTS)
    listed = [
        _run_job(run := runs_by_id[job.run_id], facts.build_view(job, run, account_state, now)) for job in own_jobs
    ]
    return AccountView(
        **_account_fields(account_state, now),
        jobs=tuple(sorted(listed, key=lambda each: (each.current, each.job.created_at), reverse=True)),
        events=tuple(reversed(history)),
    )


def _account_fields(account_state: AccountState, now: float) -> dict[str, Any]:
    hold = account_state.hold if account_state.hold and account_state.hold.is_active(now) else None
    return {
        "name": account_state.name,
        "provider": account_state.provider,
        "organization": account_state.organization,
        "project": account_state.project,
        "labels": account_state.labels,
        "key_fingerprint": account_state.key_fingerprint,
        "verified_at": account_state.verified_at,
        "removed_at": account_state.removed_at,
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
