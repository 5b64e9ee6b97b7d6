"""An account without a key is held while the others go on, and is released when its key is there."""

from __future__ import annotations

import pytest
from store_values import NOW, a_job, fill, read_job

from orchestrator import control
from orchestrator.control import ListedAccount
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.errors import NothingToDo
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, events

MISSING = Hold(HoldKind.KEY_MISSING, "api_key: file:no does not exist", "Put the key there.")
ACCOUNTS = [
    Account(name=name, provider=ProviderName.OPENAI, api_key=f"file:{name}", organization="org")
    for name in ("acme", "globex")
]
WITH_KEY = [ListedAccount(account, f"fp-{account.name}") for account in ACCOUNTS]
WITHOUT_KEY = [ListedAccount(account, "", MISSING) for account in ACCOUNTS]


async def standing(database: Database, name: str) -> AccountState:
    async with database.read() as connection:
        return (await accounts.get_many(connection, [name]))[name]


async def verified(database: Database, name: str) -> None:
    """The account's key was accepted, and its job waits."""
    after = replace(await standing(database, name), verified_at=NOW)
    await database.write(lambda tx: accounts.save(tx, after))
    await fill(database, [a_job(name, wake_at=None)])


async def test_account_without_a_key_is_held_and_released(database: Database) -> None:
    await control.sync_accounts(database, [WITH_KEY[0], WITHOUT_KEY[1]], now=NOW)
    assert (await standing(database, "acme")).hold is None
    assert (await standing(database, "globex")).hold == MISSING
    await control.sync_accounts(database, WITH_KEY, now=NOW + 1)
    found = await standing(database, "globex")
    assert (found.hold, found.key_fingerprint, found.verified_at) == (None, "fp-globex", None)


async def test_account_is_held_while_its_key_is_missing(database: Database) -> None:
    await control.sync_accounts(database, WITH_KEY, now=NOW)
    await verified(database, "acme")
    for _ in range(2):
        await control.sync_accounts(database, [WITHOUT_KEY[0], WITH_KEY[1]], now=NOW + 1)
    held = await standing(database, "acme")
    assert (held.hold, held.key_fingerprint) == (MISSING, "fp-acme")
    await control.sync_accounts(database, WITH_KEY, now=NOW + 9)
    again = await standing(database, "acme")
    assert (again.hold, again.verified_at) == (None, None), "verified anew before anything is sent"
    assert (await read_job(database, "acme")).wake_at == NOW + 9
    async with database.read() as connection:
        told = [(entry.note, entry.message) for entry in await events.list_by_account(connection, "acme")]
    assert told == [("held", MISSING.reason), ("released", "the key is there")]


@pytest.mark.parametrize(("named", "owner"), [(None, "org-a"), ("org-b", "org-b")])
async def test_owner_of_a_new_key_is_that_of_the_old_one_unless_the_file_names_another(
    database: Database, named: str | None, owner: str
) -> None:
    account = replace(ACCOUNTS[0], organization=None)
    await control.sync_accounts(database, [ListedAccount(account, "fp-old")], now=NOW)
    verified_state = replace(await standing(database, "acme"), organization="org-a", verified_at=NOW)
    await database.write(lambda tx: accounts.save(tx, verified_state))
    listed = ListedAccount(replace(account, organization=named), "fp-new")
    await control.sync_accounts(database, [listed], now=NOW + 1)
    found = await standing(database, "acme")
    assert (found.key_fingerprint, found.organization, found.verified_at) == ("fp-new", owner, None)


async def test_operator_hold_stays_when_the_key_appears(database: Database) -> None:
    await control.sync_accounts(database, WITH_KEY, now=NOW)
    await control.hold_accounts(database, ["acme"], reason="wait", by="me", now=NOW)
    await control.sync_accounts(database, [WITHOUT_KEY[0], WITH_KEY[1]], now=NOW)
    await control.sync_accounts(database, WITH_KEY, now=NOW)
    hold = (await standing(database, "acme")).hold
    assert hold is not None
    assert hold.kind == HoldKind.BY_OPERATOR


async def test_missing_keys_are_not_reported_as_shared_keys(database: Database) -> None:
    await control.sync_accounts(database, WITHOUT_KEY, now=NOW)
    async with database.read() as connection:
        assert await accounts.list_shared_keys(connection) == []


async def test_release_keeps_the_missing_key_hold(database: Database) -> None:
    await control.sync_accounts(database, WITHOUT_KEY, now=NOW)
    with pytest.raises(NothingToDo, match="acme has no key: api_key: file:no does not exist"):
        await control.release_accounts(database, ["acme"], by="me", now=NOW)
    assert (await standing(database, "acme")).hold == MISSING
    await control.sync_accounts(database, [WITHOUT_KEY[0], WITH_KEY[1]], now=NOW)
    await verified(database, "globex")
    await control.release_accounts(database, ["acme", "globex"], by="me", now=NOW)
    assert (await standing(database, "globex")).verified_at is None, "the others are released"
    assert (await standing(database, "acme")).hold == MISSING


def test_plan_uses_the_current_key() -> None:
    told = control.with_missing_keys({}, [WITH_KEY[0], WITHOUT_KEY[1]])
    assert {name: each.hold for name, each in told.items()} == {"globex": MISSING}
    assert control.with_missing_keys(told, WITH_KEY)["globex"].hold is None
