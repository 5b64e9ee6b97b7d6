"""Account states: synchronise them with the accounts file, hold and release accounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from orchestrator.control.moderation import request_moderation
from orchestrator.control.runs import get_current_run
from orchestrator.core.account import Account
from orchestrator.core.account_state import AccountState
from orchestrator.core.errors import NETWORK_HOLD_KINDS, ConfigError, NothingToDo
from orchestrator.core.hold import PLAN_HOLD_KINDS, Hold, HoldKind, build_renamed_hold
from orchestrator.core.jobs.lifecycle import AT_PROVIDER_STATES, TERMINAL_STATES
from orchestrator.core.jobs.transitions import release_job
from orchestrator.core.spec import digest
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_list
from orchestrator.inputs.accounts_file.problems import format_suggestion
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import accounts as account_queries
from orchestrator.store.queries import jobs as job_queries
from orchestrator.store.queries import notifications, outcomes
from orchestrator.store.queries import runs as run_queries
from orchestrator.store.queries.deployments import deployment_requests

HOLDS_CLEARED_ON_SYNC: Final = NETWORK_HOLD_KINDS | {HoldKind.KEY_MISSING}
"""Holds whose cause is outside the account (network, missing key): reading the accounts file again lifts them."""
MAX_LISTED_NAMES: Final = 20
NO_ACCOUNTS_HINT: Final = (
    "No account is known yet: `orchestrator run` or `orchestrator serve` reads the accounts file."
)
"""Account names that an error message lists at most."""


class ListedAccount(Struct, frozen=True):
    """An account of the accounts file, with what its key reference resolved to."""

    account: Account
    key_fingerprint: str
    """Fingerprint of the API key; empty when the reference leads to no key."""
    missing_key: Hold | None = None
    """The hold of an account without a key, which says why there is none."""

    @property
    def definition(self) -> str:
        """The digest of everything that determines which key is used where."""
        return self.define_with_key(self.key_fingerprint)

    def define_with_key(self, key_fingerprint: str) -> str:
        """Return the definition that the account would have with another key."""
        account = self.account
        # A proxy is part of the digest only where the file names one: the digests of all other accounts must stay as
        # they were, or an upgrade would verify every account again.
        # So are the place and the bucket of an account.
        proxy = [account.proxy] if account.proxy else []
        places = (account.region, account.bucket, account.storage_url, account.role_arn)
        proxy += [place for place in (*places, *_list_deployment_places(account)) if place]
        if self.missing_key:  # two accounts without a key are not the same account
            proxy.append(f"no key: {account.name}")
        return digest(
            account.provider, account.base_url, account.organization, account.project, key_fingerprint, *proxy
        )


class ReleaseResult(Struct, frozen=True):
    """What a release changed."""

    accounts: list[str]
    """Names of the released accounts; those without a key are missing here."""
    moderation_requested: bool
    """Whether the chats of the current run are to be moderated again."""


def _list_deployment_places(account: Account) -> tuple[str | None, ...]:
    """Return where an account's deployments are and with which reference: not the token, which is new each hour."""
    return (
        account.management_key,
        account.subscription_id,
        account.resource_group,
        account.resource,
        account.management_url,
        account.management_api_version,
    )


async def sync_accounts(database: Database, listed_accounts: Sequence[ListedAccount], *, now: float) -> None:
    """Save the accounts of the file. One whose key or organisation changed loses its hold and is verified again.

    An account that was held because of the network is verified again too: the attempt is free of charge. One that an
    operator holds stays held; a cancel that failed in it is tried again. A new account that seems to be a renamed one
    is held. Accounts that the file no longer lists are marked as removed by `apply_plan`, not here.
    """
    async with database.transaction() as tx:
        before = await account_queries.list_all(tx.connection)
        states = [_build_account_state(entry, before.get(entry.account.name)) for entry in listed_accounts]
        states = await _hold_renamed_accounts(tx, states, before, now)
        await account_queries.add_many(tx, [state for state in states if state.name not in before])
        for state in states:
            is_changed = state != before.get(state.name, state)
            if is_changed:
                await account_queries.save(tx, state)
            if is_changed or (state.is_held_by_operator and state.verified_at is None):
                await job_queries.wake_account(tx, state.name, now)
                await deployment_requests.wake_account(tx, state.name, now)
            await _record_key_change(tx, before.get(state.name), state, now)


def with_missing_keys(
    states: Mapping[str, AccountState], listed_accounts: Sequence[ListedAccount]
) -> dict[str, AccountState]:
    """Return the account states as `sync_accounts` would leave them, as far as keys are missing or have appeared."""
    result = dict(states)
    for entry in listed_accounts:
        before = result.get(entry.account.name)
        if entry.missing_key or _is_missing_key(before):
            result[entry.account.name] = _build_account_state(entry, before)
    return result


async def hold_accounts(
    database: Database, names: Collection[str] | None, *, reason: str, by: str, now: float
) -> list[str]:
    """Hold accounts until they are released; every account of the current run when `names` is None.

    Returns the names of the held accounts.
    """
    async with database.transaction() as tx:
        states = await get_account_states(tx.connection, names)
        for name, state in states.items():
            hold = Hold(HoldKind.BY_OPERATOR, reason, f"Run `orchestrator release {name}` to continue.")
            after = replace(state, hold=hold)
            await account_queries.save(tx, after)
            await notifications.publish_account_hold(tx, state, after, now)
            tx.add_events(EventData(at=now, cause=by, note="held", account=name, message=reason))
        return list(states)


async def release_accounts(
    database: Database, names: Collection[str] | None, *, by: str, now: float
) -> ReleaseResult:
    """Release accounts and the held open jobs in them; every account of the current run when `names` is None.

    The keys are verified again. Holds that the plan sets (a budget, for instance) stay: only a new plan lifts them.
    An account without a key is skipped, because only its key releases it; raises NothingToDo when no account has one.
    A moderation of the current run that has not passed is requested again.
    """
    async with database.transaction() as tx:
        states = await get_account_states(tx.connection, names)
        with_key = {name: state for name, state in states.items() if not _is_missing_key(state)}
        for name, state in states.items():
            if not with_key and state.hold is not None:
                raise NothingToDo(f"account {name} has no key: {state.hold.reason}", hint=state.hold.hint)
        for name, state in with_key.items():
            await account_queries.save(tx, replace(state, hold=None, verified_at=None))
            tx.add_events(EventData(at=now, cause=by, note="released", account=name))
            for job in await job_queries.list_by_accounts(tx.connection, [name]):
                if job.state in TERMINAL_STATES:  # in older databases ended jobs have holds, and need their failure
                    continue
                if job.hold is not None and job.hold.kind not in PLAN_HOLD_KINDS:
                    await outcomes.record(tx, release_job(job, now=now), at=now, cause=by)
            await job_queries.wake_account(tx, name, now)
            await deployment_requests.wake_account(tx, name, now)
        return ReleaseResult(list(with_key), await request_moderation(tx, by=by, now=now))


async def get_account_states(connection: StoreConnection, names: Collection[str] | None) -> dict[str, AccountState]:
    """Return the states of these accounts, or of all accounts of the current runs when `names` is None.

    Raises ConfigError when a name is unknown.
    """
    if names is None:
        runs = await run_queries.list_current(connection) or [await get_current_run(connection)]
        jobs = [job for run in runs for job in await job_queries.list_by_run(connection, run.id)]
        names = sorted({job.account for job in jobs})
    states = await account_queries.list_all(connection)
    if unknown := sorted(set(names) - set(states)):
        raise unknown_accounts_error(unknown, states)
    return {name: states[name] for name in names}


def unknown_accounts_error(unknown: Collection[str], known: Collection[str]) -> ConfigError:
    """Build the error for names that no account has, with the probably intended names and the known ones."""
    wrong = ", ".join(f"{name}{format_suggestion(name, known)}" for name in unknown)
    listed = format_list(sorted(known), limit=MAX_LISTED_NAMES)
    return ConfigError(
        f"no account is named {wrong}", hint=f"Known accounts: {listed}." if listed else NO_ACCOUNTS_HINT
    )


async def _hold_renamed_accounts(
    tx: Transaction, states: Sequence[AccountState], before: Mapping[str, AccountState], now: float
) -> list[AccountState]:
    """Return the states, with a hold for each new account with the key of an unlisted one that has paid jobs.

    The name is part of a job's identity, so the same work would be done and paid in the same account again. A running
    service applies an edit at once: nobody would see the plan before. An account that has its first key counts as
    new. The same key at another place, as in another region or at another server, is another account.
    """
    listed = {state.name for state in states}
    unlisted = {
        state.definition: state.name
        for state in before.values()
        if state.name not in listed and state.key_fingerprint
    }
    keyed = {name for name, state in before.items() if state.key_fingerprint}
    new = [state for state in states if state.name not in keyed and state.hold is None]
    earlier = {state.name: unlisted.get(state.definition) for state in new}
    names = [name for name in earlier.values() if name is not None]
    jobs = await job_queries.list_by_accounts(tx.connection, names) if names else []
    paid = Counter(job.account for job in jobs if job.state in AT_PROVIDER_STATES or job.fine_tuned_model)
    result = []
    for state in states:
        name = earlier.get(state.name)
        if name is not None and paid[name]:
            hold = build_renamed_hold(state.name, name, paid[name])
            held = replace(state, hold=hold)
            await notifications.publish_account_hold(tx, state, held, now)
            tx.add_events(
                EventData(at=now, cause="accounts file", note="held", account=state.name, message=hold.reason)
            )
            result.append(held)
        else:
            result.append(state)
    return result


async def _record_key_change(tx: Transaction, before: AccountState | None, after: AccountState, now: float) -> None:
    """Record and announce that an account lost its key or got it back."""
    was_missing, is_missing = _is_missing_key(before), _is_missing_key(after)
    if is_missing and not was_missing:
        await notifications.publish_account_hold(tx, before or replace(after, hold=None), after, now)
    if is_missing != was_missing:
        note, message = ("held", after.hold.reason) if is_missing and after.hold else ("released", "the key is there")
        tx.add_events(EventData(at=now, cause="accounts file", note=note, account=after.name, message=message))


def _is_missing_key(state: AccountState | None) -> bool:
    return state is not None and state.hold is not None and state.hold.kind == HoldKind.KEY_MISSING


def _build_account_state(entry: ListedAccount, before: AccountState | None) -> AccountState:
    account, definition = entry.account, entry.definition
    if before is not None and entry.missing_key:  # the key may come back: keep what is known of the account
        return _hold_for_missing_key(replace(before, labels=account.labels, removed_at=None), entry.missing_key)
    if before is not None and before.definition == definition:
        if before.hold and before.hold.kind in HOLDS_CLEARED_ON_SYNC:
            before = replace(before, hold=None, verified_at=None)
        same = before.labels == account.labels and before.removed_at is None
        return before if same else replace(before, labels=account.labels, removed_at=None)
    # A new key of the same account must belong to the owner of the old one. A new owner is named in the file.
    same_account = before is not None and before.definition == entry.define_with_key(before.key_fingerprint)
    owner = before if before is not None and same_account else account
    fresh = AccountState(
        name=account.name,
        provider=account.provider,
        definition=definition,
        key_fingerprint=entry.key_fingerprint,
        organization=account.organization or owner.organization,
        project=account.project or owner.project,
        labels=account.labels,
    )
    operator_hold = before.hold if before and before.is_held_by_operator else None
    if entry.missing_key:
        return _hold_for_missing_key(fresh, entry.missing_key)
    return replace(fresh, hold=operator_hold)


def _hold_for_missing_key(state: AccountState, missing_key: Hold) -> AccountState:
    """Hold an account that has no key, unless a hold is in force that its key does not end."""
    is_kept = state.hold is not None and state.hold.kind in {HoldKind.BY_OPERATOR, HoldKind.RENAMED}
    return state if is_kept else replace(state, hold=missing_key, verified_at=None)
