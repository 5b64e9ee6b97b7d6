"""Control: what an operator may ask. Every ask is a change of the database; the daemon sees it and acts.

So the command line works whether or not the service runs, and whatever was asked survives a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.control.deliveries import redeliver
from orchestrator.control.moderation import request_moderation
from orchestrator.control.planning import adopt_plan, kept_run
from orchestrator.control.tokens import create_token, note_use, revoke_token
from orchestrator.control.unknown import unknown_accounts
from orchestrator.core.account import Account
from orchestrator.core.advance import Outcome, advance, ask_cancel, release
from orchestrator.core.budget import month_start
from orchestrator.core.errors import NETWORK_HOLDS, ConfigError, NothingToDo
from orchestrator.core.hold import BY_PLAN, Hold, HoldKind
from orchestrator.core.job import Job, JobId, RunId
from orchestrator.core.lifecycle import ENDS, Event, State
from orchestrator.core.moderation import Moderated, Moderation
from orchestrator.core.observe import created_usd, is_over
from orchestrator.core.plan import Known
from orchestrator.core.retirement import retry_hold
from orchestrator.core.run import Run, Standing
from orchestrator.core.spec import digest
from orchestrator.store import accounts, announcements, costs, events, jobs, outcomes, runs
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.database import Database

__all__ = [
    "FORGOTTEN",
    "Listed",
    "adopt_plan",
    "approve",
    "cancel",
    "create_token",
    "hold_accounts",
    "kept_run",
    "known",
    "list_accounts",
    "note_use",
    "redeliver",
    "release_accounts",
    "retry",
    "revoke_token",
    "start",
    "waive_moderation",
    "with_missing_keys",
]


RETRIED_HOLDS = NETWORK_HOLDS | {HoldKind.KEY_MISSING}
"""What an account is held for that the machine puts right: when the accounts file is read it may be in order."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An account of the accounts file and the fingerprint of the key its reference leads to.

    `missing` is what holds an account without a key; its fingerprint is empty.
    """

    account: Account
    key_fingerprint: str
    missing: Hold | None = None

    @property
    def definition(self) -> str:
        """The digest of all that says which key is used where."""
        account = self.account
        # The way there counts only where the file names one: the digests of all other accounts stay as they were.
        way = [account.proxy] if account.proxy else []
        if self.missing:  # not the same as another account without a key
            way.append(f"no key: {account.name}")
        return digest(
            account.provider, account.base_url, account.organization, account.project, self.key_fingerprint, *way
        )


async def known(database: Database, wanted: Collection[JobId], run_id: RunId, *, now: float) -> Known:
    """What the database says that a plan of this run and these jobs depends on."""
    async with database.read() as connection:
        return Known(
            jobs=await jobs.by_id(connection, wanted),
            standings=await accounts.everyone(connection),
            committed_usd=await costs.committed_usd(connection, run_id, month_start(now)),
            run=await runs.find(connection, run_id),
        )


async def list_accounts(database: Database, listed: Sequence[Listed], *, now: float) -> None:
    """Take over the accounts of the file. One whose key or organisation changed is verified anew, its hold gone.

    So is one that was held because of the network: it costs nothing to try whether it is in order now.
    Those that it lists no more are removed with the adoption of the plan.
    """

    async def change(connection: AsyncConnection) -> None:
        before = await accounts.everyone(connection)
        now_listed = [_standing(entry, before.get(entry.account.name)) for entry in listed]
        await accounts.add(connection, [standing for standing in now_listed if standing.name not in before])
        for standing in now_listed:
            if standing != before.get(standing.name, standing):
                await accounts.save(connection, standing)
                await jobs.wake_account(connection, standing.name, now)
            await _note_key(connection, before.get(standing.name), standing, now)

    await database.write(change)


async def _note_key(connection: AsyncConnection, before: Standing | None, after: Standing, now: float) -> None:
    """Record and announce that an account lost its key or got it back."""
    was, is_missing = _misses_key(before), _misses_key(after)
    if is_missing and not was:
        await announcements.announce_standing(connection, before or replace(after, hold=None), after, now)
    if is_missing != was:
        note, message = ("held", after.hold.reason) if is_missing and after.hold else ("released", "the key is there")
        entry = events.Entry(at=now, cause="accounts file", note=note, account=after.name, message=message)
        await events.append(connection, entry)


def _misses_key(standing: Standing | None) -> bool:
    return standing is not None and standing.hold is not None and standing.hold.kind == HoldKind.KEY_MISSING


async def start(database: Database, *, by: str, now: float) -> Run:
    """Let the current run's ready jobs be submitted."""

    async def change(connection: AsyncConnection) -> Run:
        run = await _current(connection)
        if run.started_at is None:
            run = replace(run, started_at=now)
            await runs.save(connection, run)
            await events.append(connection, events.Entry(at=now, cause=by, note="started", run_id=run.id))
        await jobs.wake_unsent(connection, run.id, now)
        return run

    return await database.write(change)


async def approve(database: Database, *, by: str, now: float) -> Run:
    """Let the current run go on in spite of its price; covers a price up to the one it has now.

    Raises NothingToDo when it is not held for its price.
    """

    async def change(connection: AsyncConnection) -> Run:
        run = await _current(connection)
        if run.hold is None:
            raise _nothing_to_approve(run)
        run = replace(run, hold=None, approved_at=now, approved_by=by, approved_usd=run.planned_usd)
        await runs.save(connection, run)
        await events.append(connection, events.Entry(at=now, cause=by, note="approved", run_id=run.id))
        await jobs.wake_unsent(connection, run.id, now)
        return run

    return await database.write(change)


async def waive_moderation(database: Database, *, reason: str, by: str, now: float) -> Run:
    """Let the current run go on without moderation. Who, when and why stay in the run's record.

    Raises NothingToDo when its chats have passed moderation: that record is never replaced.
    """
    if not reason.strip():
        raise ConfigError("a waiver needs a reason", hint="Say why no moderation is needed; it stays on record.")

    async def change(connection: AsyncConnection) -> Run:
        run = await _current(connection)
        if run.moderation is not None and run.moderation.state is Moderated.PASSED:
            raise NothingToDo(
                f"there is nothing to waive: the chats of run {run.id} passed moderation "
                f"({run.moderation.texts:,} texts)",
                hint="`orchestrator status` shows what else holds the run, if anything does.",
            )
        waived = Moderation(state=Moderated.WAIVED, by=by, at=now, reason=reason)
        run = replace(run, moderation=waived)
        await runs.save(connection, run)
        entry = events.Entry(at=now, cause=by, note="moderation waived", run_id=run.id, message=reason)
        await events.append(connection, entry)
        await jobs.wake_unsent(connection, run.id, now)
        return run

    return await database.write(change)


async def cancel(database: Database, names: Collection[str], *, by: str, now: float) -> list[Job]:
    """Ask for the end of the accounts' open jobs. Returns the jobs asked; those that ended are left alone."""
    return await _each(database, names, by, now, lambda job: None if job.state in ENDS else ask_cancel(job, now=now))


async def retry(database: Database, names: Collection[str], *, by: str, now: float) -> list[Job]:
    """Start failed jobs again, as new remote jobs."""

    def ask(job: Job) -> Outcome | None:
        if job.state is not State.FAILED:
            return None
        # A new tag only where the old remote job has ended: one that may still be there is looked for by its tag.
        changes = {**FORGOTTEN, "round": job.round + is_over(job), "earlier_usd": created_usd(job)}
        if unknown_model := retry_hold(job.failure):
            changes |= {"hold": unknown_model, "wake_at": None}
        return advance(job, Event.RETRIED, now=now, **changes)

    return await _each(database, names, by, now, ask)


async def hold_accounts(database: Database, names: Collection[str], *, reason: str, by: str, now: float) -> None:
    """Set accounts aside until they are released."""

    async def change(connection: AsyncConnection) -> None:
        for name, standing in (await _standings(connection, names)).items():
            aside = Hold(HoldKind.BY_OPERATOR, reason, f"`orchestrator release {name}` when it may go on.")
            after = replace(standing, hold=aside)
            await accounts.save(connection, after)
            await announcements.announce_standing(connection, standing, after, now)
            await events.append(connection, events.Entry(at=now, cause=by, note="held", account=name, message=reason))

    await database.write(change)


async def release_accounts(database: Database, names: Collection[str], *, by: str, now: float) -> bool:
    """Let held accounts, and held jobs in them, go on; a budget is raised, not released. Keys are verified anew.

    An account without a key is skipped: only its key releases it. Raises NothingToDo when all are such. A moderation
    of the current run that has not passed is requested again; returns whether there is one.
    """

    async def change(connection: AsyncConnection) -> bool:
        asked = await _standings(connection, names)
        able = {name: standing for name, standing in asked.items() if not _misses_key(standing)}
        for name, standing in asked.items():
            if not able and standing.hold is not None:
                raise NothingToDo(f"account {name} has no key: {standing.hold.reason}", hint=standing.hold.hint)
        for name, standing in able.items():
            await accounts.save(connection, replace(standing, hold=None, verified_at=None))
            await events.append(connection, events.Entry(at=now, cause=by, note="released", account=name))
            for job in await jobs.of_accounts(connection, [name]):
                if job.hold is not None and job.hold.kind not in BY_PLAN:
                    await outcomes.record(connection, release(job, now=now), at=now, cause=by)
            await jobs.wake_account(connection, name, now)
        return await request_moderation(connection, by=by, now=now)

    return await database.write(change)


FORGOTTEN: dict[str, Any] = {
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


def _standing(entry: Listed, before: Standing | None) -> Standing:
    account, definition = entry.account, entry.definition
    if before is not None and entry.missing:  # the key may come back: what is known of it stays
        return _without_key(replace(before, labels=account.labels, removed_at=None), entry.missing)
    if before is not None and before.definition == definition:
        if before.hold and before.hold.kind in RETRIED_HOLDS:
            before = replace(before, hold=None, verified_at=None)
        same = before.labels == account.labels and before.removed_at is None
        return before if same else replace(before, labels=account.labels, removed_at=None)
    fresh = Standing(
        name=account.name,
        provider=account.provider,
        definition=definition,
        key_fingerprint=entry.key_fingerprint,
        organization=account.organization,
        project=account.project,
        labels=account.labels,
    )
    kept = before.hold if before and before.hold and before.hold.kind == HoldKind.BY_OPERATOR else None
    return _without_key(fresh, entry.missing) if entry.missing else replace(fresh, hold=kept)


def _without_key(standing: Standing, missing: Hold) -> Standing:
    """Hold an account that has no key, unless an operator holds it."""
    by_operator = standing.hold is not None and standing.hold.kind == HoldKind.BY_OPERATOR
    return standing if by_operator else replace(standing, hold=missing, verified_at=None)


def with_missing_keys(standings: Mapping[str, Standing], listed: Sequence[Listed]) -> dict[str, Standing]:
    """Return the standings as `list_accounts` would leave them, as far as keys are missing or have appeared."""
    found = dict(standings)
    for entry in listed:
        before = found.get(entry.account.name)
        if entry.missing or _misses_key(before):
            found[entry.account.name] = _standing(entry, before)
    return found


async def _current(connection: AsyncConnection) -> Run:
    run = await runs.current(connection)
    if run is None:
        raise ConfigError("there is no run yet", hint="Start one with `orchestrator run` or `orchestrator serve`.")
    return run


def _nothing_to_approve(run: Run) -> NothingToDo:
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


async def _standings(connection: AsyncConnection, names: Collection[str]) -> dict[str, Standing]:
    everyone = await accounts.everyone(connection)
    if unknown := sorted(set(names) - set(everyone)):
        raise unknown_accounts(unknown, everyone)
    return {name: everyone[name] for name in names}


async def _each(
    database: Database, names: Collection[str], by: str, now: float, ask: Callable[[Job], Outcome | None]
) -> list[Job]:
    """Ask something of each job of the accounts, in one transaction; of the current run unless names are given."""

    async def change(connection: AsyncConnection) -> list[Job]:
        await _standings(connection, names)
        run = await _current(connection)
        asked = []
        for job in await jobs.of_run(connection, run.id):
            outcome = ask(job) if job.account in names or not names else None
            if outcome and (outcome.job == job or await outcomes.record(connection, outcome, at=now, cause=by)):
                asked.append(outcome.job)
        return asked

    return await database.write(change)
