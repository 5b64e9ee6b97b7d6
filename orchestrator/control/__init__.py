"""Control: what an operator may ask. Every ask is a change of the database; the daemon sees it and acts.

So the command line works whether or not the service runs, and whatever was asked survives a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.control.account_names import unknown_accounts_error
from orchestrator.control.deliveries import redeliver
from orchestrator.control.moderation import request_moderation
from orchestrator.control.plan import apply_plan, get_run_with_dataset
from orchestrator.control.tokens import create_token, record_token_use, revoke_token
from orchestrator.core.account import Account
from orchestrator.core.errors import NETWORK_HOLD_KINDS, ConfigError, NothingToDo
from orchestrator.core.hold import PLAN_HOLD_KINDS, Hold, HoldKind
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobEvent, JobState
from orchestrator.core.jobs.remote_state import is_remote_job_finished, sum_created_usd
from orchestrator.core.jobs.run import AccountState, Run
from orchestrator.core.jobs.transitions import Outcome, advance, release_job, request_cancel
from orchestrator.core.moderation import Moderation, ModerationStatus
from orchestrator.core.plans.budget import month_start
from orchestrator.core.plans.plan import DatabaseState
from orchestrator.core.plans.retirement import find_retry_hold
from orchestrator.core.spec import digest
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, costs, events, jobs, notifications, outcomes, runs

__all__ = [
    "RESET_ON_RETRY",
    "ListedAccount",
    "apply_plan",
    "approve",
    "cancel",
    "create_token",
    "get_run_with_dataset",
    "hold_accounts",
    "load_database_state",
    "record_token_use",
    "redeliver",
    "release_accounts",
    "retry",
    "revoke_token",
    "start",
    "sync_accounts",
    "waive_moderation",
    "with_missing_keys",
]


HOLDS_CLEARED_ON_SYNC = NETWORK_HOLD_KINDS | {HoldKind.KEY_MISSING}
"""What an account is held for that the machine puts right: when the accounts file is read it may be in order."""


@dataclass(frozen=True, slots=True)
class ListedAccount:
    """An account of the accounts file and the fingerprint of the key its reference leads to.

    `missing` is what holds an account without a key; its fingerprint is empty.
    """

    account: Account
    key_fingerprint: str
    missing_key: Hold | None = None

    @property
    def definition(self) -> str:
        """The digest of all that says which key is used where."""
        account = self.account
        # The way there counts only where the file names one: the digests of all other accounts stay as they were.
        way = [account.proxy] if account.proxy else []
        if self.missing_key:  # not the same as another account without a key
            way.append(f"no key: {account.name}")
        return digest(
            account.provider, account.base_url, account.organization, account.project, self.key_fingerprint, *way
        )


async def load_database_state(
    database: Database, job_ids: Collection[JobId], run_id: RunId, *, now: float
) -> DatabaseState:
    """What the database says that a plan of this run and these jobs depends on."""
    async with database.read() as connection:
        return DatabaseState(
            jobs=await jobs.get_many(connection, job_ids),
            account_states=await accounts.list_all(connection),
            committed_usd=await costs.get_committed_by_account(connection, run_id, month_start(now)),
            run=await runs.find(connection, run_id),
        )


async def sync_accounts(database: Database, listed_accounts: Sequence[ListedAccount], *, now: float) -> None:
    """Take over the accounts of the file. One whose key or organisation changed is verified anew, its hold gone.

    So is one that was held because of the network: it costs nothing to try whether it is in order now.
    Those that it lists no more are removed with the adoption of the plan.
    """

    async def change(connection: StoreConnection) -> None:
        before = await accounts.list_all(connection)
        now_listed = [_build_account_state(entry, before.get(entry.account.name)) for entry in listed_accounts]
        await accounts.add_many(connection, [standing for standing in now_listed if standing.name not in before])
        for standing in now_listed:
            if standing != before.get(standing.name, standing):
                await accounts.save(connection, standing)
                await jobs.wake_account(connection, standing.name, now)
            await _record_key_change(connection, before.get(standing.name), standing, now)

    await database.write(change)


async def _record_key_change(
    connection: StoreConnection, before: AccountState | None, after: AccountState, now: float
) -> None:
    """Record and announce that an account lost its key or got it back."""
    was, is_missing = _is_missing_key(before), _is_missing_key(after)
    if is_missing and not was:
        await notifications.publish_account_hold(connection, before or replace(after, hold=None), after, now)
    if is_missing != was:
        note, message = ("held", after.hold.reason) if is_missing and after.hold else ("released", "the key is there")
        entry = events.EventData(at=now, cause="accounts file", note=note, account=after.name, message=message)
        await events.append(connection, entry)


def _is_missing_key(standing: AccountState | None) -> bool:
    return standing is not None and standing.hold is not None and standing.hold.kind == HoldKind.KEY_MISSING


async def start(database: Database, *, by: str, now: float) -> Run:
    """Let the current run's ready jobs be submitted."""

    async def change(connection: StoreConnection) -> Run:
        run = await _get_current_run(connection)
        if run.started_at is None:
            run = replace(run, started_at=now)
            await runs.save(connection, run)
            await events.append(connection, events.EventData(at=now, cause=by, note="started", run_id=run.id))
        await jobs.wake_unsubmitted(connection, run.id, now)
        return run

    return await database.write(change)


async def approve(database: Database, *, by: str, now: float) -> Run:
    """Let the current run go on in spite of its price; covers a price up to the one it has now.

    Raises NothingToDo when it is not held for its price.
    """

    async def change(connection: StoreConnection) -> Run:
        run = await _get_current_run(connection)
        if run.hold is None:
            raise _nothing_to_approve_error(run)
        run = replace(run, hold=None, approved_at=now, approved_by=by, approved_usd=run.planned_usd)
        await runs.save(connection, run)
        await events.append(connection, events.EventData(at=now, cause=by, note="approved", run_id=run.id))
        await jobs.wake_unsubmitted(connection, run.id, now)
        return run

    return await database.write(change)


async def waive_moderation(database: Database, *, reason: str, by: str, now: float) -> Run:
    """Let the current run go on without moderation. Who, when and why stay in the run's record.

    Raises NothingToDo when its chats have passed moderation: that record is never replaced.
    """
    if not reason.strip():
        raise ConfigError("a waiver needs a reason", hint="Say why no moderation is needed; it stays on record.")

    async def change(connection: StoreConnection) -> Run:
        run = await _get_current_run(connection)
        if run.moderation is not None and run.moderation.state is ModerationStatus.PASSED:
            raise NothingToDo(
                f"there is nothing to waive: the chats of run {run.id} passed moderation "
                f"({run.moderation.texts:,} texts)",
                hint="`orchestrator status` shows what else holds the run, if anything does.",
            )
        waived = Moderation(state=ModerationStatus.WAIVED, by=by, at=now, reason=reason)
        run = replace(run, moderation=waived)
        await runs.save(connection, run)
        entry = events.EventData(at=now, cause=by, note="moderation waived", run_id=run.id, message=reason)
        await events.append(connection, entry)
        await jobs.wake_unsubmitted(connection, run.id, now)
        return run

    return await database.write(change)


async def cancel(database: Database, names: Collection[str], *, by: str, now: float) -> list[Job]:
    """Ask for the end of the accounts' open jobs. Returns the jobs asked; those that ended are left alone."""
    return await _apply_to_jobs(
        database, names, by, now, lambda job: None if job.state in TERMINAL_STATES else request_cancel(job, now=now)
    )


async def retry(database: Database, names: Collection[str], *, by: str, now: float) -> list[Job]:
    """Start failed jobs again, as new remote jobs."""

    def ask(job: Job) -> Outcome | None:
        if job.state is not JobState.FAILED:
            return None
        # A new tag only where the old remote job has ended: one that may still be there is looked for by its tag.
        changes = {
            **RESET_ON_RETRY,
            "round": job.round + is_remote_job_finished(job),
            "earlier_usd": sum_created_usd(job),
        }
        if unknown_model := find_retry_hold(job.failure):
            changes |= {"hold": unknown_model, "wake_at": None}
        return advance(job, JobEvent.RETRIED, now=now, **changes)

    return await _apply_to_jobs(database, names, by, now, ask)


async def hold_accounts(database: Database, names: Collection[str], *, reason: str, by: str, now: float) -> None:
    """Set accounts aside until they are released."""

    async def change(connection: StoreConnection) -> None:
        for name, standing in (await _get_account_states(connection, names)).items():
            aside = Hold(HoldKind.BY_OPERATOR, reason, f"`orchestrator release {name}` when it may go on.")
            after = replace(standing, hold=aside)
            await accounts.save(connection, after)
            await notifications.publish_account_hold(connection, standing, after, now)
            await events.append(
                connection, events.EventData(at=now, cause=by, note="held", account=name, message=reason)
            )

    await database.write(change)


async def release_accounts(database: Database, names: Collection[str], *, by: str, now: float) -> bool:
    """Let held accounts, and held jobs in them, go on; a budget is raised, not released. Keys are verified anew.

    An account without a key is skipped: only its key releases it. Raises NothingToDo when all are such. A moderation
    of the current run that has not passed is requested again; returns whether there is one.
    """

    async def change(connection: StoreConnection) -> bool:
        asked = await _get_account_states(connection, names)
        able = {name: standing for name, standing in asked.items() if not _is_missing_key(standing)}
        for name, standing in asked.items():
            if not able and standing.hold is not None:
                raise NothingToDo(f"account {name} has no key: {standing.hold.reason}", hint=standing.hold.hint)
        for name, standing in able.items():
            await accounts.save(connection, replace(standing, hold=None, verified_at=None))
            await events.append(connection, events.EventData(at=now, cause=by, note="released", account=name))
            for job in await jobs.list_by_accounts(connection, [name]):
                if job.hold is not None and job.hold.kind not in PLAN_HOLD_KINDS:
                    await outcomes.record(connection, release_job(job, now=now), at=now, cause=by)
            await jobs.wake_account(connection, name, now)
        return await request_moderation(connection, by=by, now=now)

    return await database.write(change)


RESET_ON_RETRY: dict[str, Any] = {
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


def _build_account_state(entry: ListedAccount, before: AccountState | None) -> AccountState:
    account, definition = entry.account, entry.definition
    if before is not None and entry.missing_key:  # the key may come back: what is known of it stays
        return _hold_for_missing_key(replace(before, labels=account.labels, removed_at=None), entry.missing_key)
    if before is not None and before.definition == definition:
        if before.hold and before.hold.kind in HOLDS_CLEARED_ON_SYNC:
            before = replace(before, hold=None, verified_at=None)
        same = before.labels == account.labels and before.removed_at is None
        return before if same else replace(before, labels=account.labels, removed_at=None)
    fresh = AccountState(
        name=account.name,
        provider=account.provider,
        definition=definition,
        key_fingerprint=entry.key_fingerprint,
        organization=account.organization,
        project=account.project,
        labels=account.labels,
    )
    kept = before.hold if before and before.hold and before.hold.kind == HoldKind.BY_OPERATOR else None
    return _hold_for_missing_key(fresh, entry.missing_key) if entry.missing_key else replace(fresh, hold=kept)


def _hold_for_missing_key(standing: AccountState, missing: Hold) -> AccountState:
    """Hold an account that has no key, unless an operator holds it."""
    by_operator = standing.hold is not None and standing.hold.kind == HoldKind.BY_OPERATOR
    return standing if by_operator else replace(standing, hold=missing, verified_at=None)


def with_missing_keys(
    states: Mapping[str, AccountState], listed_accounts: Sequence[ListedAccount]
) -> dict[str, AccountState]:
    """Return the standings as `sync_accounts` would leave them, as far as keys are missing or have appeared."""
    found = dict(states)
    for entry in listed_accounts:
        before = found.get(entry.account.name)
        if entry.missing_key or _is_missing_key(before):
            found[entry.account.name] = _build_account_state(entry, before)
    return found


async def _get_current_run(connection: StoreConnection) -> Run:
    run = await runs.find_current(connection)
    if run is None:
        raise ConfigError("there is no run yet", hint="Start one with `orchestrator run` or `orchestrator serve`.")
    return run


def _nothing_to_approve_error(run: Run) -> NothingToDo:
    if run.holds:
        return NothingToDo(
            f"there is nothing to approve: run {run.id} is held for another reason: {run.holds[0].reason}",
            hint=run.holds[0].hint,
        )
    approved = f"; it was approved by {run.approved_by}" if run.approved_by else ""
    return NothingToDo(
        f"there is nothing to approve: run {run.id} is not held{approved}",
        hint="`orchestrator status` shows what each account waits for; held accounts need `orchestrator release`.",
    )


async def _get_account_states(connection: StoreConnection, names: Collection[str]) -> dict[str, AccountState]:
    everyone = await accounts.list_all(connection)
    if unknown := sorted(set(names) - set(everyone)):
        raise unknown_accounts_error(unknown, everyone)
    return {name: everyone[name] for name in names}


async def _apply_to_jobs(
    database: Database, names: Collection[str], by: str, now: float, transition: Callable[[Job], Outcome | None]
) -> list[Job]:
    """Ask something of each job of the accounts, in one transaction; of the current run unless names are given."""

    async def change(connection: StoreConnection) -> list[Job]:
        await _get_account_states(connection, names)
        run = await _get_current_run(connection)
        asked = []
        for job in await jobs.list_by_run(connection, run.id):
            outcome = transition(job) if job.account in names or not names else None
            if outcome and (outcome.job == job or await outcomes.record(connection, outcome, at=now, cause=by)):
                asked.append(outcome.job)
        return asked

    return await database.write(change)
