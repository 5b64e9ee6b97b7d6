"""An account without a key is held while the others go on, and is released when its key is there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_values import NOW, a_job, fill, read_job

from orchestrator import control
from orchestrator.control import ListedAccount
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import NothingToDo
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.run import AccountState
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, events

MISSING = Hold(HoldKind.KEY_MISSING, "api_key: file:no does not exist", "Put the key there.")
ACCOUNTS = [
    Account(name=name, provider=ProviderName.OPENAI, api_key=f"file:{name}", organization="org")
    for name in ("acme", "globex")
]
HERE = [ListedAccount(account, f"fp-{account.name}") for account in ACCOUNTS]
GONE = [ListedAccount(account, "", MISSING) for account in ACCOUNTS]


async def standing(database: Database, name: str) -> AccountState:
    async with database.read() as connection:
        return (await accounts.get_many(connection, [name]))[name]


async def verified(database: Database, name: str) -> None:
    """The account's key was accepted, and its job waits."""
    after = replace(await standing(database, name), verified_at=NOW)
    await database.write(lambda connection: accounts.save(connection, after))
    await fill(database, [a_job(name, wake_at=None)])


async def test_an_account_that_never_had_a_key_is_held_and_released(database: Database) -> None:
    await control.sync_accounts(database, [HERE[0], GONE[1]], now=NOW)
    assert (await standing(database, "acme")).hold is None
    assert (await standing(database, "globex")).hold == MISSING
    await control.sync_accounts(database, HERE, now=NOW + 1)
    found = await standing(database, "globex")
    assert (found.hold, found.key_fingerprint, found.verified_at) == (None, "fp-globex", None)


async def test_a_key_that_goes_and_comes_back(database: Database) -> None:
    await control.sync_accounts(database, HERE, now=NOW)
    await verified(database, "acme")
    for _ in range(2):
        await control.sync_accounts(database, [GONE[0], HERE[1]], now=NOW + 1)
    held = await standing(database, "acme")
    assert (held.hold, held.key_fingerprint) == (MISSING, "fp-acme")
    await control.sync_accounts(database, HERE, now=NOW + 9)
    again = await standing(database, "acme")
    assert (again.hold, again.verified_at) == (None, None), "verified anew before anything is sent"
    assert (await read_job(database, "acme")).wake_at == NOW + 9
    async with database.read() as connection:
        told = [(entry.note, entry.message) for entry in await events.list_by_account(connection, "acme")]
    assert told == [("held", MISSING.reason), ("released", "the key is there")]


async def test_what_an_operator_holds_stays_held_when_the_key_is_there(database: Database) -> None:
    await control.sync_accounts(database, HERE, now=NOW)
    await control.hold_accounts(database, ["acme"], reason="wait", by="me", now=NOW)
    await control.sync_accounts(database, [GONE[0], HERE[1]], now=NOW)
    await control.sync_accounts(database, HERE, now=NOW)
    hold = (await standing(database, "acme")).hold
    assert hold is not None
    assert hold.kind == HoldKind.BY_OPERATOR


async def test_two_accounts_without_a_key_do_not_have_the_same_key(database: Database) -> None:
    await control.sync_accounts(database, GONE, now=NOW)
    async with database.read() as connection:
        assert await accounts.list_shared_keys(connection) == []


async def test_a_release_does_not_pretend_to_have_a_key(database: Database) -> None:
    await control.sync_accounts(database, GONE, now=NOW)
    with pytest.raises(NothingToDo, match="acme has no key: api_key: file:no does not exist"):
        await control.release_accounts(database, ["acme"], by="me", now=NOW)
    assert (await standing(database, "acme")).hold == MISSING
    await control.sync_accounts(database, [GONE[0], HERE[1]], now=NOW)
    await verified(database, "globex")
    await control.release_accounts(database, ["acme", "globex"], by="me", now=NOW)
    assert (await standing(database, "globex")).verified_at is None, "the others are released"
    assert (await standing(database, "acme")).hold == MISSING


def test_a_plan_sees_the_key_as_it_is_now() -> None:
    told = control.with_missing_keys({}, [HERE[0], GONE[1]])
    assert {name: each.hold for name, each in told.items()} == {"globex": MISSING}
    assert control.with_missing_keys(told, HERE)["globex"].hold is None
