"""An operator holds an account while a call for it is in progress. If that call fails, the hold stays."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NoReturn

import pytest
from deployment_world import (
    CloudProvider,
    DeploymentCloud,
    DeploymentReplica,
    SteppedClock,
    request,
    trained_job,
    work,
)
from reconciler_values import clock, make_reconciler, ready_job
from store_values import a_standing, fill, id_of, read_job, save_standing
from structlog.testing import capture_logs

from orchestrator import control
from orchestrator.control import ListedAccount
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import AuthenticationFailed, ProviderError, ProxyRefused
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts

LISTED = ListedAccount(Account(name="acme", provider=ProviderName.OPENAI, api_key="env:KEY"), "12345678")
ERRORS = pytest.mark.parametrize("error", [ProxyRefused("the proxy says no"), AuthenticationFailed("401")])


class HoldingProvider:
    """A provider whose calls fail. Before that, an operator holds the account."""

    capabilities = SimpleNamespace(losses=False, checkpoints=False)

    def __init__(self, database: Database, error: ProviderError) -> None:
        self._database = database
        self._error = error
        self.created = 0
        self.polls = 0

    async def get_job(self, _remote_job_id: str) -> NoReturn:
        self.polls += 1
        await hold(self._database)
        raise self._error

    async def find_jobs(self, _order: object) -> list[object]:
        return []

    async def create_job(self, _order: object, _deadline: object) -> NoReturn:
        self.created += 1
        raise self._error


async def hold(database: Database, *names: str) -> None:
    await control.hold_accounts(database, names or ["acme"], reason="do not spend", by="someone", now=clock.now())


async def get_hold_kind(database: Database) -> str | None:
    async with database.read() as connection:
        found = (await accounts.get_many(connection, ["acme"]))["acme"].hold
    return found.kind if found else None


async def fill_with_a_running_job(database: Database) -> Job:
    running = replace(ready_job("acme", id_of("acme")), state=JobState.RUNNING, remote_job_id="ftjob-1")
    await fill(database, [running, ready_job("acme", "second")])
    await save_standing(database, a_standing("acme", definition=LISTED.definition))
    return running


@ERRORS
async def test_failed_poll_and_a_reload_keep_the_hold_of_an_operator(
    database: Database, error: ProviderError
) -> None:
    running, remote = await fill_with_a_running_job(database), HoldingProvider(database, error)
    reconciler = make_reconciler(database, {"acme": remote}, slots=2)
    with capture_logs() as lines:
        await reconciler.handle(running.id)
    assert await get_hold_kind(database) == HoldKind.BY_OPERATOR
    assert "account.held" not in [line["event"] for line in lines], "it names a hold that the account does not have"
    await control.sync_accounts(database, [LISTED], now=clock.now())
    assert await get_hold_kind(database) == HoldKind.BY_OPERATOR
    await reconciler.handle(JobId("second"))
    assert remote.created == 0, "the operator has stopped the account"


async def test_reload_repeats_a_cancel_that_failed_in_a_held_account(database: Database) -> None:
    running, remote = await fill_with_a_running_job(database), HoldingProvider(database, ProxyRefused("no"))
    await control.cancel(database, ["acme"], by="someone", now=clock.now())
    reconciler = make_reconciler(database, {"acme": remote})
    await reconciler.handle(running.id)
    assert (await read_job(database, "acme")).wake_at is None
    assert remote.polls == 1, "a cancel reads the remote job first"
    await control.sync_accounts(database, [LISTED], now=clock.now())
    assert (await read_job(database, "acme")).wake_at is not None, "the cancel is tried again"


@pytest.mark.parametrize("by_operator", [True, False])
async def test_only_a_hold_that_the_account_has_is_logged(
    database: Database, monkeypatch: pytest.MonkeyPatch, by_operator: bool
) -> None:
    async def refuse(*_: object) -> NoReturn:
        if by_operator:
            await hold(database, "acme", "globex")
        raise AuthenticationFailed("401")

    running, cloud = await fill_with_a_running_job(database), DeploymentCloud(SteppedClock())
    await request(database, trained_job("globex"))
    monkeypatch.setattr(CloudProvider, "find_deployments", refuse)
    with capture_logs() as lines:
        await make_reconciler(database, {"acme": SimpleNamespace(get_job=refuse)}).handle(running.id)
        await work(DeploymentReplica(database, cloud, ["globex"]))
    held = [(line["account"], line["kind"], line["message"]) for line in lines if line["event"] == "account.held"]
    kind = AuthenticationFailed.kind
    assert held == ([] if by_operator else [("acme", kind, "401"), ("globex", kind, "401")])
