"""Operator actions on accounts: an empty selection changes nothing, `None` means all accounts of the current run."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from store_values import NOW, a_job, a_standing, fill, read_job, save_standing

from orchestrator import control
from orchestrator.core.account_state import AccountState
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts

HELD = Hold(HoldKind.BY_OPERATOR, "a reason", "a hint")
SELECTIONS = pytest.mark.parametrize(
    ("names", "reached"), [(None, {"acme", "globex"}), ([], set()), (["globex"], {"globex"})]
)


async def read_account(database: Database, name: str) -> AccountState:
    async with database.read() as connection:
        return (await accounts.list_all(connection))[name]


@SELECTIONS
async def test_cancel_reaches_the_selected_accounts(
    database: Database, names: Collection[str] | None, reached: set[str]
) -> None:
    await fill(database, [a_job("acme"), a_job("globex")])
    cancelled = await control.cancel(database, names, by="me", now=NOW)
    assert {job.account for job in cancelled} == reached
    for name in ("acme", "globex"):
        assert (await read_job(database, name)).cancel_asked is (name in reached)


@SELECTIONS
async def test_retry_reaches_the_selected_accounts(
    database: Database, names: Collection[str] | None, reached: set[str]
) -> None:
    await fill(database, [a_job(name, state=JobState.FAILED) for name in ("acme", "globex")])
    retried = await control.retry(database, names, by="me", now=NOW)
    assert {job.account for job in retried} == reached


@SELECTIONS
async def test_hold_reaches_the_selected_accounts_of_the_current_run(
    database: Database, names: Collection[str] | None, reached: set[str]
) -> None:
    await fill(database, [a_job("acme"), a_job("globex")])
    await save_standing(database, a_standing("no job in this run"))
    assert set(await control.hold_accounts(database, names, reason="a reason", by="me", now=NOW)) == reached
    for name in ("acme", "globex", "no job in this run"):
        assert ((await read_account(database, name)).hold is not None) is (name in reached)


@SELECTIONS
async def test_release_reaches_the_selected_accounts(
    database: Database, names: Collection[str] | None, reached: set[str]
) -> None:
    await fill(database, [a_job("acme"), a_job("globex")])
    for name in ("acme", "globex"):
        await save_standing(database, a_standing(name, hold=HELD))
    assert set((await control.release_accounts(database, names, by="me", now=NOW)).accounts) == reached
    for name in ("acme", "globex"):
        assert ((await read_account(database, name)).hold is None) is (name in reached)
