"""Operator actions on jobs of the current run: cancel, retry, and adopt a remote job."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from orchestrator.control.accounts import get_account_states
from orchestrator.control.runs import NOTHING_SHOWN, Confirmation, ShownPrice, get_current_run
from orchestrator.core.account_state import AccountState
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobEvent, JobState
from orchestrator.core.jobs.remote_state import is_remote_job_finished, sum_created_usd
from orchestrator.core.jobs.run import Run
from orchestrator.core.jobs.transitions import Outcome, advance, request_adoption, request_cancel
from orchestrator.core.plans.budget import add_to_run_price
from orchestrator.core.plans.retirement import find_retry_hold
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import accounts as account_queries
from orchestrator.store.queries import jobs as job_queries
from orchestrator.store.queries import outcomes
from orchestrator.store.queries import runs as run_queries

RESET_ON_RETRY: Final[dict[str, Any]] = {
    "remote_file_id": None,
    "remote_validation_file_id": None,
    "remote_job_id": None,
    "remote_status": None,
    "cancel_asked": False,
    "submitted_at": None,
    "trained_tokens": None,
    "estimated_finish": None,
    "progress": None,
    "quoted_usd": None,
    "loss_step": None,
    "losses_at": None,
}
"""The fields of a failed job that describe its remote job, and their values before there was one."""


async def cancel(
    database: Database,
    names: Collection[str] | None,
    *,
    by: str,
    now: float,
    run_name: str | None = None,
    confirmed: Confirmation = NOTHING_SHOWN,
) -> list[Job]:
    """Request the cancellation of these accounts' open jobs; of every account's when `names` is None.

    Returns the jobs of which it was requested. Jobs that have ended are left alone. Raises ConfigError when the run
    is no longer the one that was confirmed.
    """

    def request(job: Job, _: AccountState) -> Outcome | None:
        return None if job.state in TERMINAL_STATES else request_cancel(job, now=now)

    run_only = Confirmation(run_id=confirmed.run_id)
    async with database.transaction() as tx:
        _, changed = await _apply_to_jobs(tx, names, request, by=by, now=now, run_name=run_name, confirmed=run_only)
        return [after for _, after in changed]


async def retry(
    database: Database,
    names: Collection[str] | None,
    *,
    by: str,
    now: float,
    run_name: str | None = None,
    confirmed: Confirmation = NOTHING_SHOWN,
) -> list[Job]:
    """Start these accounts' failed jobs again, as new remote jobs; every account's when `names` is None.

    The run is held if the earlier rounds and the new ones cost more than `max_total_usd`. Returns the jobs that were
    started again. A job of a removed account would not be submitted, and no longer be listed: it stays as it is.
    Raises ConfigError when such an account is named, and when the run, or the price of these jobs, is no longer the
    one that was confirmed.
    """

    def restart(job: Job, account: AccountState) -> Outcome | None:
        if job.state is not JobState.FAILED:
            return None
        if account.removed_at is not None:
            if names is None:
                return None
            hint = "Add the account to the accounts file again, with the same name, then retry its job."
            raise ConfigError(f"account {account.name} is no longer in the accounts file", hint=hint)
        # A new round means a new tag, and only an ended remote job may be left behind for it: one that may still be
        # running is found again by its old tag, and a second one would be paid for.
        changes = {
            **RESET_ON_RETRY,
            "hold": None,  # in older databases ended jobs have holds
            "round": job.round + is_remote_job_finished(job),
            "earlier_usd": sum_created_usd(job),
        }
        if unknown_model := find_retry_hold(job.failure):
            changes |= {"hold": unknown_model, "wake_at": None}
        return advance(job, JobEvent.RETRIED, now=now, **changes)

    async with database.transaction() as tx:
        run, changed = await _apply_to_jobs(
            tx, names, restart, by=by, now=now, run_name=run_name, confirmed=confirmed
        )
        await _add_retries_to_price(tx, run, changed, by=by, now=now)
        return [after for _, after in changed]


async def adopt_remote_job(database: Database, job_id: str, remote_job_id: str, *, by: str, now: float) -> Job:
    """Select the remote job for a job that is held as ambiguous. The service verifies it with the provider first.

    Raises ConfigError when the id is blank, the job is not held as ambiguous, or another job has the remote job
    already.
    """
    if not remote_job_id.strip():
        raise ConfigError(
            "an adoption requires the id of a remote job",
            hint="Select one of the remote jobs that the hint in `orchestrator status` lists.",
        )
    async with database.transaction() as tx:
        job = await _get_ambiguous_job(tx.connection, job_id)
        others = [
            other for other in await job_queries.list_by_accounts(tx.connection, [job.account]) if other.id != job.id
        ]
        if owner := next((other for other in others if other.remote_job_id == remote_job_id), None):
            raise ConfigError(
                f"remote job {remote_job_id} already belongs to job {owner.id}, which is {owner.state}",
                hint="Select one of the remote jobs that the hint in `orchestrator status` lists.",
            )
        outcome = request_adoption(job, remote_job_id, now=now)
        await outcomes.record(tx, outcome, at=now, cause=by)
        return outcome.job


async def _apply_to_jobs(
    tx: Transaction,
    names: Collection[str] | None,
    transition: Callable[[Job, AccountState], Outcome | None],
    *,
    by: str,
    now: float,
    run_name: str | None,
    confirmed: Confirmation,
) -> tuple[Run, list[tuple[Job, Job]]]:
    """Apply the transition to each of the accounts' jobs in the current run. Returns the jobs before and after it."""
    await get_account_states(tx.connection, names or ())  # an unknown name is an error, and nothing is changed
    run = await get_current_run(tx.connection, run_name)
    confirmed.require_run(run)
    accounts = await account_queries.list_all(tx.connection)
    changed = []
    for job in await job_queries.list_by_run(tx.connection, run.id):
        selected = names is None or job.account in names
        outcome = transition(job, accounts[job.account]) if selected else None
        if outcome and (outcome.job == job or await outcomes.record(tx, outcome, at=now, cause=by)):
            changed.append((job, outcome.job))
    confirmed.require_price(ShownPrice.from_jobs(after for _, after in changed))  # raised here, it undoes the changes
    return run, changed


async def _add_retries_to_price(
    tx: Transaction, run: Run, retried: Iterable[tuple[Job, Job]], *, by: str, now: float
) -> None:
    """Add the new rounds of these jobs (before and after) to the run's price; hold it if it costs more than it may.

    Of a job that keeps its round the remote job is searched for, and followed without another price.
    """
    created = [(before, after) for before, after in retried if after.round > before.round]
    priced = add_to_run_price(run, sum((new.earlier_usd or 0) - (old.earlier_usd or 0) for old, new in created))
    if priced != run:
        await run_queries.save(tx, priced)
    if priced.hold is not None and run.hold is None:
        tx.add_events(EventData(at=now, cause=by, note="held", run_id=run.id, message=priced.hold.reason))


async def _get_ambiguous_job(connection: StoreConnection, job_id: str) -> Job:
    job = (await job_queries.get_many(connection, [JobId(job_id)])).get(JobId(job_id))
    if job is None:
        raise ConfigError(f"there is no job {job_id}", hint="`orchestrator status --json` shows each account's job.")
    if job.state is not JobState.SUBMITTING or job.hold is None:
        remote = f" and has remote job {job.remote_job_id}" if job.remote_job_id else ""
        raise ConfigError(
            f"job {job.id} of account {job.account} is {job.state}{remote}: there is nothing to choose",
            hint="Only a job that is held because its remote job is unclear needs an operator's choice.",
        )
    return job
