from __future__ import annotations

import pytest
from store_values import DATASET, NOW, RUN, SPEC, a_job, a_standing, fill, id_of, read_job, save_standing

from orchestrator import control, status
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ConfigError, Failure
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.jobs.remote_state import REMOTE_MISSING_KIND
from orchestrator.core.plans.plan import Plan, PlanLine, PlanStep
from orchestrator.store.db.database import Database
from orchestrator.store.queries import losses

MISSING = Failure(REMOTE_MISSING_KIND, "the provider no longer has job ftjob-1", "Look the job up.")


def a_missing_job(kind: str) -> Job:
    """A held job that was cancelled, and whose remote job was not found. It may still run."""
    hold = Hold(kind, "a reason", "a hint")
    values = {"wake_at": None, "remote_job_id": "ftjob-1", "remote_file_id": "file-1", "submitted_at": NOW}
    return a_job("acme", state=JobState.FAILED, failure=MISSING, hold=hold, **values)


@pytest.mark.parametrize(("kind", "stays"), [(HoldKind.OVER_BUDGET, True), ("ambiguous", False)])
async def test_release_removes_every_hold_except_a_budget_hold(database: Database, kind: str, stays: bool) -> None:
    await fill(database, [a_job("acme", hold=Hold(kind, "a reason", "a hint"))])
    await control.release_accounts(database, ["acme"], by="me", now=100.0)
    job = await read_job(database, "acme")
    assert (job.hold is not None) is stays
    assert (job.wake_at == 100.0) is not stays


@pytest.mark.parametrize("by_new_key", [True, False])
async def test_lifted_hold_of_the_account_is_not_shown_as_the_error_of_its_job(
    database: Database, by_new_key: bool
) -> None:
    """The call that led to the hold left the same failure in its job."""
    refused = Failure("key_invalid", "the provider refused the key", "Replace the key.")
    waiting = Failure("rate_limited", "too many requests", "Wait.")
    later = a_job("acme", id=JobId("later"), wake_at=NOW + 60, failure=waiting, attempts=1)
    await fill(database, [a_job("acme", wake_at=None, failure=refused), later])
    await save_standing(database, a_standing("acme", hold=Hold(refused.kind, refused.message, refused.hint)))
    if by_new_key:
        account = Account(name="acme", provider=ProviderName.OPENAI, api_key="env:KEY")
        await control.sync_accounts(database, [control.ListedAccount(account, "a-new-key")], now=NOW + 1)
    else:
        await control.release_accounts(database, ["acme"], by="me", now=NOW + 1)
    snapshot = await status.get_status(database, NOW + 1)
    assert {job.job: job.error for job in snapshot.jobs} == {id_of("acme"): None, "later": waiting}


async def test_release_leaves_an_ended_job_and_its_losses(database: Database) -> None:
    ended, point = a_missing_job("server_error"), Loss(1, 2.5)
    await fill(database, [ended])
    await database.write(lambda tx: losses.add(tx, ended.id, [point]))
    await control.release_accounts(database, ["acme"], by="me", now=NOW + 1)
    assert await read_job(database, "acme") == ended
    async with database.read() as connection:
        assert await losses.list_by_job(connection, ended.id) == [point]


async def test_retry_after_a_release_looks_for_the_remote_job_that_was_not_found(database: Database) -> None:
    await fill(database, [ended := a_missing_job("server_error")])
    await control.release_accounts(database, ["acme"], by="me", now=NOW + 1)
    await control.retry(database, ["acme"], by="me", now=NOW + 2)
    again = await read_job(database, "acme")
    assert (again.state, again.tag, again.hold) == (JobState.PLANNED, ended.tag, None)


async def test_new_plan_leaves_an_ended_job(database: Database) -> None:
    await fill(database, [ended := a_missing_job(HoldKind.OVER_BUDGET)])
    line = PlanLine(
        account="acme",
        provider=ProviderName.OPENAI,
        base_model=SPEC.base_model,
        job_id=id_of("acme"),
        step=PlanStep.FAILED,
        usd=None,
    )
    plan = Plan(run_id=RUN.id, name=RUN.name, dataset=DATASET, specs=RUN.specs, lines=(line,))
    await control.apply_plan(database, plan, start=True, now=NOW + 1, cause="me")
    assert await read_job(database, "acme") == ended


async def test_failed_job_of_a_removed_account_is_not_retried(database: Database) -> None:
    """It would not be submitted, and without its remote job no list would show it any more."""
    failed = a_job("gone", state=JobState.FAILED, remote_job_id="ftjob-1", submitted_at=NOW, wake_at=None)
    await fill(database, [failed, a_job("there", state=JobState.FAILED, wake_at=None)])
    await save_standing(database, a_standing("gone", removed_at=NOW))
    preview = await status.preview_action(database, OperatorAction.RETRY, JobFilter(), NOW)
    assert preview.accounts == ("there",)
    with pytest.raises(ConfigError, match="account gone is no longer in the accounts file"):
        await control.retry(database, ["gone", "there"], by="me", now=NOW)
    assert [job.account for job in await control.retry(database, None, by="me", now=NOW)] == ["there"]
    assert await read_job(database, "gone") == failed
    listing = await status.list_jobs(database, JobFilter(), NOW, limit=9)
    assert listing is not None
    assert [(job.account, job.state) for job in listing.jobs] == [("gone", "failed"), ("there", "planned")]
