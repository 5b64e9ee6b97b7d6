"""Operators deploy, undeploy and approve, upon both databases."""

from __future__ import annotations

from functools import partial

import pytest
from deployment_actions import (
    TABLES,
    USD_PER_HOUR,
    a_finished_job,
    deploy,
    fill_finished,
    find_no_price,
    list_all,
    plan,
    record,
)
from sqlalchemy import text
from store_values import NOW, a_job, fill

from orchestrator import control
from orchestrator.control import DeploymentTarget
from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment import Deployment, StopReason
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.transitions import (
    hold_deployment,
    record_missing,
    start_create,
    start_stop,
    withdraw_deployment,
)
from orchestrator.core.errors import ConfigError, NothingToDo
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.checkpoint import Checkpoint, number_checkpoints
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries.deployments import checkpoints


async def list_events(database: Database) -> list[tuple[str, str, str | None]]:
    async with database.read() as connection:
        rows = await connection.execute(
            text("SELECT cause, note, account FROM events WHERE deployment_id IS NOT NULL ORDER BY id")
        )
        return [(row.cause, row.note, row.account) for row in rows]


async def start(database: Database, deployment: Deployment) -> Deployment:
    return await record(database, start_create(deployment, now=NOW + 1, intent_until=NOW + 60))


async def test_a_deployment_is_recorded_with_its_price_and_its_cause(database: Database) -> None:
    await fill_finished(database, "acme", "globex")
    [planned] = (await plan(database, "acme")).lines
    assert planned.obstacle == ""
    assert planned.usd == pytest.approx(4 * USD_PER_HOUR)
    [requested] = await deploy(database, "acme")
    assert (await list_all(database)) == {"acme": requested}
    assert requested.state is DeploymentState.WANTED
    assert (requested.model, requested.spec.keep_hours, requested.wake_at) == ("accounts/acme/models/m-1", 4.0, NOW)
    assert (requested.usd_per_hour, requested.price_source, requested.hold) == (USD_PER_HOUR, "price page", None)
    assert await list_events(database) == [("operator:ann", "deployment requested", "acme")]


async def test_the_tables_of_the_run_decide_what_the_options_leave_open(database: Database) -> None:
    await fill_finished(database, "acme")
    planned = await plan(database, "acme", tables=TABLES, options={})
    assert planned.lines[0].spec == TABLES[ProviderName.FIREWORKS]
    assert planned.total_usd == pytest.approx(8 * 2 * USD_PER_HOUR)  # two replicas can be billed
    planned = await plan(database, "acme", tables=TABLES)
    assert planned.lines[0].spec == replace(TABLES[ProviderName.FIREWORKS], keep_hours=4.0)


async def test_all_are_the_models_for_which_there_is_something_to_do(database: Database) -> None:
    jobs = [
        a_finished_job("acme"),
        a_finished_job("globex"),
        a_finished_job("gone", gone_at=NOW),
        a_finished_job("running", state=JobState.RUNNING, fine_tuned_model=None),
        a_job("openai", state=JobState.SUCCEEDED, fine_tuned_model="ft:m", wake_at=None),
    ]
    await fill(database, jobs)
    await deploy(database, "globex")
    planned = await plan(database, accounts=None)
    assert [line.job.account for line in planned.lines] == ["acme"]
    named = await plan(database, *(job.account for job in jobs))
    assert {line.job.account: line.obstacle for line in named.lines} == {
        "acme": "",
        "globex": "it is deployed already (wanted)",
        "gone": "the provider no longer has its model",
        "openai": "its model is callable without a deployment",
        "running": "it has no model yet: its job is running",
    }
    assert (await plan(database)).lines == ()  # an empty selection selects nothing


async def test_unknown_accounts_and_options_are_refused(database: Database) -> None:
    await fill_finished(database, "acme", "globex")
    with pytest.raises(ConfigError, match="no account is named acne"):
        await plan(database, "acne")
    with pytest.raises(ConfigError, match="needs `keep_hours`"):
        await plan(database, "acme", options={})
    with pytest.raises(ConfigError, match="the checkpoint ckpt-1 belongs to one account"):
        await plan(database, "acme", "globex", checkpoint="ckpt-1")
    with pytest.raises(ConfigError, match='no current run "other"'):
        await plan(database, "acme", run="other")


async def test_a_checkpoint_is_chosen_in_each_account(database: Database) -> None:
    jobs = [a_finished_job(name) for name in ("acme", "globex", "other")]
    await fill(database, jobs)
    losses = {"acme": (0.5, 0.4), "globex": (0.3, 0.6)}
    for job in jobs:
        values = enumerate(losses.get(job.account, ()), 1)
        kept = [
            Checkpoint(id=f"{job.account}-{n}", step=10 * n, model=f"m:{job.account}:{n}", validation_loss=loss)
            for n, loss in values
        ]
        await database.write(partial(checkpoints.save, job_id=job.id, kept=number_checkpoints(kept)))
    planned = await plan(database, "acme", "globex", "other", checkpoint="best")
    assert [(line.checkpoint, line.model, line.obstacle) for line in planned.lines] == [
        ("acme-2", "m:acme:2", ""),
        ("globex-1", "m:globex:1", ""),
        (None, jobs[2].fine_tuned_model, "the checkpoint best of its job is not known"),
    ]
    assert (await plan(database, "acme", checkpoint="1")).lines[0].checkpoint == "acme-1"
    assert (await plan(database, "acme", checkpoint="acme-1")).lines[0].model == "m:acme:1"
    assert (await plan(database, "acme", checkpoint="not-listed")).lines[0].model == "not-listed"
    [requested] = await deploy(database, "acme", checkpoint="best")
    assert (requested.checkpoint, requested.model) == ("acme-2", "m:acme:2")
    assert (await plan(database, "acme")).lines[0].obstacle == ""  # the final model has a deployment of its own


async def test_a_model_that_cannot_be_served_is_not_requested(database: Database) -> None:
    async def find_nothing(*_: object) -> None:
        return None

    await fill_finished(database, "acme")
    planned = await plan(database, "acme", price=find_nothing)
    assert "does not offer" in planned.lines[0].obstacle
    assert planned.accepted == ()


async def test_a_checkpoint_has_a_deployment_of_its_own(database: Database) -> None:
    await fill_finished(database, "acme")
    [final] = await deploy(database, "acme")
    [checkpoint] = await deploy(database, "acme", checkpoint="accounts/acme/models/m-1-ckpt-2")
    assert final.id != checkpoint.id
    assert (checkpoint.model, checkpoint.checkpoint) == ("accounts/acme/models/m-1-ckpt-2",) * 2


async def test_an_unknown_price_is_held_until_it_is_approved(database: Database) -> None:
    await fill_finished(database, "acme")
    planned = await plan(database, "acme", price=find_no_price)
    assert (planned.total_usd, planned.unpriced) == (0.0, 1)
    [held] = await control.deploy(database, planned, by="operator:ann", now=NOW)
    assert held.hold
    assert held.hold.kind == HoldKind.PRICE_UNKNOWN
    assert held.wake_at is None
    [approved] = await control.approve_deployments(
        database, DeploymentTarget(accounts=["acme"]), by="operator:bob", now=NOW + 5
    )
    assert (approved.hold, approved.failure, approved.approved_at, approved.wake_at) == (None, None, NOW + 5, NOW + 5)
    assert (await list_all(database))["acme"] == approved
    assert (await list_events(database))[-1] == ("operator:bob", "approved", "acme")
    with pytest.raises(NothingToDo, match="nothing to approve"):
        await control.approve_deployments(database, DeploymentTarget(accounts=None), by="operator:bob", now=NOW + 6)


async def test_the_budget_of_an_account_is_not_approved_away(database: Database) -> None:
    await fill_finished(database, "acme")
    [requested] = await deploy(database, "acme")
    budget = Hold(HoldKind.OVER_BUDGET, "above the budget", "raise it")
    await record(database, hold_deployment(requested, budget))
    with pytest.raises(NothingToDo):
        await control.approve_deployments(database, DeploymentTarget(accounts=None), by="me", now=NOW)
    assert (await list_all(database))["acme"].hold == budget


async def test_an_operator_can_state_the_price(database: Database) -> None:
    await fill_finished(database, "acme")
    [requested] = await deploy(database, "acme", price=find_no_price, usd_per_hour=3.0)
    assert (requested.hold, requested.usd_per_hour, requested.price_source) == (None, 3.0, "stated by the operator")
    [known] = (await plan(database, "acme", usd_per_hour=1.0, checkpoint="c")).lines
    assert known.price
    assert known.price.usd_per_hour == USD_PER_HOUR


async def test_a_stop_is_requested_once_and_recorded(database: Database) -> None:
    await fill_finished(database, "acme", "globex")
    first, _ = await deploy(database, "acme", "globex")
    await start(database, first)
    [stopped] = await control.undeploy(database, DeploymentTarget(accounts=["acme"]), by="operator:bob", now=NOW + 9)
    assert (stopped.account, stopped.stop_reason, stopped.wake_at) == ("acme", StopReason.REQUESTED, NOW + 9)
    assert (await list_events(database))[-1] == ("operator:bob", "stop requested", "acme")
    assert await control.undeploy(database, DeploymentTarget(accounts=["acme"]), by="me", now=NOW + 10) == []
    assert (await list_all(database))["globex"].stop_reason is None
    [line] = (await plan(database, "acme")).lines
    assert line.obstacle == "its deployment is being stopped; request it again when it has ended"


async def test_a_stop_is_requested_of_what_would_be_created_again_after_a_conflict(database: Database) -> None:
    await fill_finished(database, "acme")
    started = await start(database, (await deploy(database, "acme"))[0])
    await record(database, start_stop(started, StopReason.CONFLICT, now=NOW + 2))
    target = DeploymentTarget(accounts=["acme"])
    [stopped] = await control.undeploy(database, target, by="operator:bob", now=NOW + 9)
    assert (stopped.stop_reason, stopped.wake_at) == (StopReason.REQUESTED, NOW + 9)
    once = record_missing(stopped, now=NOW + 100).deployment
    assert record_missing(once, now=NOW + 200).deployment.state is DeploymentState.STOPPED
    assert await control.undeploy(database, target, by="me", now=NOW + 10) == []


async def test_an_empty_selection_stops_nothing_and_all_stops_all(database: Database) -> None:
    await fill_finished(database, "acme", "globex")
    first, _ = await deploy(database, "acme", "globex")
    assert await control.undeploy(database, DeploymentTarget(), by="me", now=NOW) == []
    by_id = DeploymentTarget(accounts=None, ids=[first.id])
    assert [each.id for each in await control.undeploy(database, by_id, by="me", now=NOW)] == [first.id]
    with pytest.raises(ConfigError, match="no deployment has the id nope"):
        await control.undeploy(database, DeploymentTarget(accounts=None, ids=["nope"]), by="me", now=NOW)
    everything = await control.undeploy(database, DeploymentTarget(accounts=None), by="me", now=NOW)
    assert [each.account for each in everything] == ["globex"]


async def test_an_ended_deployment_is_requested_again_with_the_new_options(database: Database) -> None:
    await fill_finished(database, "acme")
    [first] = await deploy(database, "acme", price=find_no_price)
    [stopped] = await control.undeploy(database, DeploymentTarget(accounts=None), by="me", now=NOW + 1)
    ended = await record(database, withdraw_deployment(stopped, now=NOW + 2))
    assert ended.state is DeploymentState.STOPPED
    [again] = await deploy(database, "acme", now=NOW + 3, options={"keep_hours": 1.0})
    assert (again.id, again.round, again.state) == (first.id, 1, DeploymentState.WANTED)
    assert again.spec == DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=1.0)
    assert (again.usd_per_hour, again.hold, again.stop_reason, again.wake_at) == (USD_PER_HOUR, None, None, NOW + 3)
    assert (await list_all(database))["acme"] == again
    assert (await list_events(database))[-1] == ("operator:ann", "deployment requested again", "acme")


async def test_a_plan_that_is_out_of_date_changes_nothing(database: Database) -> None:
    await fill_finished(database, "acme")
    planned = await plan(database, "acme")
    [first] = await deploy(database, "acme")
    assert await control.deploy(database, planned, by="me", now=NOW) == []
    assert (await list_all(database))["acme"] == first
