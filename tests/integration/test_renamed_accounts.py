"""A renamed account is another one for the program: the same work would be paid in the same account once more."""

from __future__ import annotations

import pytest
from store_values import NOW, a_job, fill

from orchestrator import control
from orchestrator.control import ListedAccount
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, events


def listed(name: str, key: str = "0123abcd") -> ListedAccount:
    return ListedAccount(Account(name=name, provider=ProviderName.OPENAI, api_key="env:KEY"), key)


async def sync(database: Database, *entries: ListedAccount) -> None:
    await control.sync_accounts(database, entries, now=NOW)


async def find_hold(database: Database, name: str) -> str | None:
    async with database.read() as connection:
        hold = (await accounts.get_many(connection, [name]))[name].hold
    return hold.kind if hold else None


@pytest.mark.parametrize(
    ("state", "model", "is_paid"),
    [
        (JobState.SUCCEEDED, "ft:model", True),
        (JobState.SUBMITTING, None, True),
        (JobState.RUNNING, None, True),
        (JobState.READY, None, False),
        (JobState.FAILED, None, False),
    ],
)
async def test_renamed_account_with_a_paid_job_is_held(
    database: Database, state: JobState, model: str | None, *, is_paid: bool
) -> None:
    await sync(database, listed("acme"), listed("globex", "fedcba98"))
    await fill(database, [a_job("acme", state=state, fine_tuned_model=model), a_job("globex")])
    await sync(database, listed("acme-europe"), listed("globex", "fedcba98"))
    assert await find_hold(database, "acme-europe") == (HoldKind.RENAMED if is_paid else None)
    assert await find_hold(database, "globex") is None
    async with database.read() as connection:
        written = [each.message for each in await events.list_by_account(connection, "acme-europe")]
    assert len(written) == is_paid
    assert all("has the key of account acme" in message and "a paid job" in message for message in written if message)


async def test_released_account_stays_released(database: Database) -> None:
    await sync(database, listed("acme"))
    await fill(database, [a_job("acme", state=JobState.SUCCEEDED, fine_tuned_model="ft:model")])
    await sync(database, listed("acme-europe"))
    await sync(database, listed("acme-europe"))
    assert await find_hold(database, "acme-europe") == HoldKind.RENAMED
    await control.release_accounts(database, ["acme-europe"], by="me", now=NOW)
    await sync(database, listed("acme-europe"))
    assert await find_hold(database, "acme-europe") is None


async def test_hold_stays_while_the_key_is_missing_for_a_while(database: Database) -> None:
    await sync(database, listed("acme"))
    await fill(database, [a_job("acme", state=JobState.SUCCEEDED, fine_tuned_model="ft:model")])
    renamed = listed("acme-europe")
    await sync(database, renamed)
    missing = ListedAccount(renamed.account, "", Hold(HoldKind.KEY_MISSING, "no such file", "Create it."))
    for entry in (missing, renamed):
        await sync(database, entry)
        assert await find_hold(database, "acme-europe") == HoldKind.RENAMED


async def test_account_with_the_key_of_a_listed_account_and_one_with_another_key_are_not_held(
    database: Database,
) -> None:
    await sync(database, listed("acme"))
    await fill(database, [a_job("acme", state=JobState.SUCCEEDED, fine_tuned_model="ft:model")])
    await sync(database, listed("acme"), listed("twin"))
    await sync(database, listed("other", "fedcba98"))
    assert [await find_hold(database, name) for name in ("twin", "other")] == [None, None]


async def test_account_whose_key_appears_later_is_held_as_one_with_a_key(database: Database) -> None:
    await sync(database, listed("acme"))
    await fill(database, [a_job("acme", state=JobState.SUCCEEDED, fine_tuned_model="ft:model")])
    account = listed("acme-europe").account
    await sync(database, ListedAccount(account, "", Hold(HoldKind.KEY_MISSING, "no such file", "Create it.")))
    assert await find_hold(database, "acme-europe") == HoldKind.KEY_MISSING
    await sync(database, listed("acme-europe"))
    assert await find_hold(database, "acme-europe") == HoldKind.RENAMED
    await control.release_accounts(database, ["acme-europe"], by="me", now=NOW)
    await sync(database, ListedAccount(account, "", Hold(HoldKind.KEY_MISSING, "no such file", "Create it.")))
    await sync(database, listed("acme-europe"))
    assert await find_hold(database, "acme-europe") is None


async def test_account_with_the_same_key_at_another_place_is_another_account(database: Database) -> None:
    def server(name: str, url: str) -> ListedAccount:
        account = Account(name=name, provider=ProviderName.OPENAI_COMPATIBLE, api_key="env:KEY", base_url=url)
        return ListedAccount(account, "0123abcd")

    await sync(database, server("old-server", "http://one.test/v1"))
    succeeded = a_job("old-server", state=JobState.SUCCEEDED, fine_tuned_model="ft:model")
    await fill(database, [succeeded])
    await sync(database, server("new-server", "http://two.test/v1"), server("renamed", "http://one.test/v1"))
    assert await find_hold(database, "new-server") is None
    assert await find_hold(database, "renamed") == HoldKind.RENAMED
