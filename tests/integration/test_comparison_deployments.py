"""Comparisons that deploy models: what they wait for, what it costs, and that they stop what they have started."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog
from comparison_bench import ACCOUNTS, URL, ComparisonBench, KilledProcess, write_part
from deployment_actions import USD_PER_HOUR, a_finished_job, find_no_price, plan, record
from store_values import RUN, fill

from orchestrator.control import DeploymentTarget, deploy, hold_accounts, undeploy
from orchestrator.control.comparisons import PlannedComparison, start_comparison, stop_comparison
from orchestrator.core.account import ProviderName
from orchestrator.core.comparison.comparison import Comparison, ComparisonState
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.comparison.request_plan import InferencePrice
from orchestrator.core.dataset import Dataset
from orchestrator.core.deployment.deployment import Deployment, StopReason
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.transitions import (
    ABSENCE_CONFIRMATION_SECONDS,
    DeploymentOutcome,
    record_missing,
    start_stop,
)
from orchestrator.core.errors import Failure
from orchestrator.core.structs import replace
from orchestrator.daemon.comparisons.comparison_deployments import MAX_HELD_SECONDS, ComparisonDeployments
from orchestrator.daemon.comparisons.comparison_planner import list_deploying_models, plan_comparison
from orchestrator.daemon.comparisons.comparison_worker import ComparisonWorker
from orchestrator.inputs.prices import load_prices
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import comparison_records
from orchestrator.store.queries.deployments import deployment_records

START_SECONDS = 90.0
STOP_SECONDS = 30.0
OWN = ("acme-us", "globex")  # deployed by the comparison; the first account is deployed by an operator


def example(number: int) -> bytes:
    messages = [
        {"role": "user", "content": f"How far is {number} from {number + 7}?"},
        {"role": "assistant", "content": f"They are seven apart: {number} and {number + 7}."},
    ]
    return json.dumps({"messages": messages}).encode() + b"\n"


@dataclass
class DeployedBench(ComparisonBench):
    """A bench whose deployments start and stop as time passes, as the service does it."""

    database: Database
    dataset: Dataset
    failing: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)  # whose deployment waits because its account is on hold
    conflicting: set[str] = field(default_factory=set)  # whose first create fails by another operation
    models: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.database, self.dataset)
        self.settings = replace(self.settings, deploy=True)

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        async with self.database.read() as connection:
            found = await deployment_records.list_open(connection)
        for each in found:
            await self._advance(each)

    async def _advance(self, deployment: Deployment) -> None:
        if deployment.account in self.held and deployment.stop_reason is None:
            return
        waited = self.now - deployment.state_since
        changes: dict[str, Any] = {}
        if deployment.account in self.conflicting and deployment.state is DeploymentState.STARTING and waited >= 60:
            self.conflicting.remove(deployment.account)
            stopping = await record(self.database, start_stop(deployment, StopReason.CONFLICT, now=self.now))
            missing = replace(stopping, missing_since=self.now - ABSENCE_CONFIRMATION_SECONDS)
            await record(self.database, record_missing(missing, now=self.now))
            return
        match deployment.state:
            case _ if deployment.stop_reason is not None and waited >= STOP_SECONDS:
                changes = {"state": DeploymentState.STOPPED, "ended_at": self.now}
            case DeploymentState.WANTED if deployment.account in self.failing:
                failure = Failure("not_servable", "there is no capacity", "")
                changes = {"state": DeploymentState.FAILED, "failure": failure, "ended_at": self.now}
            case DeploymentState.WANTED if deployment.hold is None and deployment.stop_reason is None:
                end = self.now + deployment.spec.keep_seconds
                changes = {"state": DeploymentState.STARTING, "create_started_at": self.now, "expires_at": end}
            case DeploymentState.STARTING if waited >= START_SECONDS:
                changes = {
                    "state": DeploymentState.READY,
                    "base_url": URL,
                    "model_string": self.models[deployment.account],
                }
        if changes:
            changed = replace(deployment, version=deployment.version + 1, state_since=self.now, **changes)
            await record(
                self.database, DeploymentOutcome(deployment=changed, previous_state=deployment.state, label=None)
            )

    async def request(self, *, price: Any = None, own: tuple[str, ...] = OWN) -> Comparison:
        """Request a comparison in which `own` are deployed; the other accounts are deployed by an operator."""
        self.models = {name: await self.train(name) for name in ACCOUNTS}
        jobs = [a_finished_job(name, fine_tuned_model=self.models[name]) for name in ACCOUNTS]
        await fill(self.database, jobs)
        options = {"price": price} if price else {}
        deployments = await plan(self.database, *own, **options)
        prices = load_prices()

        def find_price(_: ProviderName, base_model: str) -> InferencePrice | None:
            return prices.find_inference("openai", "gpt-4.1-mini")

        ready: dict[str, Deployment] = {
            job.id: await self.add_ready_deployment(job.account) for job in jobs if job.account not in own
        }
        comparison = plan_comparison(
            RUN,
            jobs,
            list(self.probes.values()),
            self.settings,
            accounts={name: replace(each, provider=ProviderName.FIREWORKS) for name, each in self.accounts.items()},
            deployments=ready,
            find_price=find_price,
            now=self.now,
            cause="operator:ada",
            deploying=list_deploying_models(deployments, find_price),
        )
        planned = PlannedComparison(
            comparison=comparison, run_name=RUN.name, requests=0, usd=None, deployments=deployments
        )
        return await start_comparison(self.database, planned, by="operator:ada", now=self.now)

    async def add_ready_deployment(self, account: str) -> Deployment:
        """Deploy a model as an operator does it."""
        deployments = await plan(self.database, account)
        [deployment] = await deploy(self.database, deployments, by="operator:bob", now=self.now)
        changed = replace(
            deployment,
            version=deployment.version + 1,
            state=DeploymentState.READY,
            create_started_at=self.now,
            expires_at=self.now + 1e6,
            base_url=URL,
            model_string=self.models[account],
        )
        return await record(
            self.database, DeploymentOutcome(deployment=changed, previous_state=deployment.state, label=None)
        )

    async def list_deployments(self) -> dict[str, Deployment]:
        async with self.database.read() as connection:
            return {each.account: each for each in await deployment_records.list_all(connection)}

    async def calculate_hosting_usd(self, comparison: Comparison) -> float | None:
        deployments = ComparisonDeployments(self.database, comparison)
        await deployments.load()
        return deployments.calculate_usd(self.now)

    async def find(self, comparison: Comparison) -> Comparison:
        async with self.database.read() as connection:
            found = await comparison_records.find(connection, comparison.id)
        assert found is not None
        return found


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> DeployedBench:
    dataset = Dataset(
        training=write_part(tmp_path, range(20), example), validation=write_part(tmp_path, range(100, 180), example)
    )
    return DeployedBench(database, dataset)


def calculate_usd(deployments: dict[str, Deployment], accounts: tuple[str, ...] = OWN) -> float:
    minutes = 0.0
    for name in accounts:
        each = deployments[name]
        if each.create_started_at is not None:
            assert each.ended_at is not None, name
            minutes += -(-(each.ended_at - each.create_started_at) // 60)
    return minutes * USD_PER_HOUR / 60


async def test_models_are_deployed_asked_and_stopped(bench: DeployedBench) -> None:
    ended = await bench.run(await bench.request())
    assert ended.state is ComparisonState.FINISHED, ended.message
    deployments = await bench.list_deployments()
    assert {name: each.state for name, each in deployments.items()} == {
        "acme-eu": DeploymentState.READY,  # an operator's, which is not stopped
        **dict.fromkeys(OWN, DeploymentState.STOPPED),
    }
    assert {each.account for each in bench.sandbox.questions} == set(ACCOUNTS)
    assert ended.result is not None
    assert ended.result["token_usd"] == pytest.approx(bench.sandbox.count_usd(), abs=1e-6)
    assert ended.result["hosting_usd"] == pytest.approx(calculate_usd(deployments))
    assert ended.total_usd == pytest.approx(bench.sandbox.count_usd() + calculate_usd(deployments))


async def test_cost_contains_a_create_that_is_repeated_after_a_conflict(bench: DeployedBench) -> None:
    bench.conflicting = {"globex"}
    ended = await bench.run(await bench.request())
    assert ended.state is ComparisonState.FINISHED, ended.message
    deployments = await bench.list_deployments()
    assert deployments["globex"].round == 1
    earlier = deployments["globex"].earlier_usd or 0.0
    assert earlier >= USD_PER_HOUR / 60
    assert ended.hosting_usd == pytest.approx(calculate_usd(deployments) + earlier)


async def test_cost_is_kept_when_an_operator_deploys_the_model_again(bench: DeployedBench) -> None:
    comparison = await bench.request()
    for _ in range(5):
        await bench.sleep(30)
    await undeploy(bench.database, DeploymentTarget(accounts=OWN), by="operator:bob", now=bench.now)
    await bench.sleep(STOP_SECONDS)
    ended = await bench.list_deployments()
    assert await bench.calculate_hosting_usd(comparison) == pytest.approx(calculate_usd(ended))
    await deploy(bench.database, await plan(bench.database, "globex"), by="operator:bob", now=bench.now)
    await bench.sleep(3600)
    assert (await bench.list_deployments())["globex"].state is DeploymentState.STARTING
    assert await bench.calculate_hosting_usd(comparison) == pytest.approx(calculate_usd(ended))


async def test_cost_omits_what_an_earlier_comparison_has_cost(bench: DeployedBench) -> None:
    first = await bench.run(await bench.request())
    assert first.hosting_usd
    again = PlannedComparison(
        comparison=replace(first, id="0123456789abcdef", state=ComparisonState.ASKING, result=None, finished_at=None),
        run_name=RUN.name,
        requests=0,
        usd=None,
        deployments=await plan(bench.database, *OWN),
    )
    second = await start_comparison(bench.database, again, by="schedule", now=bench.now)
    assert await bench.calculate_hosting_usd(second) == 0
    await bench.sleep(1)
    await bench.sleep(119)
    assert await bench.calculate_hosting_usd(second) == pytest.approx(2 * 2 * USD_PER_HOUR / 60)
    stored = {model.name: model.hosted_before_usd for model in (await bench.find(second)).models if not model.is_base}
    assert stored == {"acme-eu": None, **dict.fromkeys(OWN, pytest.approx(first.hosting_usd / 2))}


async def test_killed_comparison_still_stops_its_deployments(bench: DeployedBench) -> None:
    comparison = await bench.request()
    bench.sandbox.kill_after = 150
    with pytest.raises(KilledProcess):
        await bench.run(comparison)
    bench.sandbox.kill_after = None
    bench.sandbox.now += 600
    ended = await bench.run(comparison, owner="two")
    assert ended.state is ComparisonState.FINISHED
    deployments = await bench.list_deployments()
    assert {deployments[name].state for name in OWN} == {DeploymentState.STOPPED}
    assert ended.hosting_usd == pytest.approx(calculate_usd(deployments))
    assert (ended.hosting_usd or 0.0) > 2 * 10 * USD_PER_HOUR / 60  # ten minutes passed until it was continued


async def test_limit_counts_the_deployments_and_stops_them(bench: DeployedBench) -> None:
    bench.settings = replace(
        bench.settings, max_usd=3 * USD_PER_HOUR / 60
    )  # less than both cost until they are ready
    ended = await bench.run(await bench.request())
    assert ended.state is ComparisonState.STOPPED
    assert "max_usd" in (ended.message or "")
    assert bench.sandbox.questions == []
    deployments = await bench.list_deployments()
    assert {deployments[name].state for name in OWN} <= {DeploymentState.STOPPED, DeploymentState.READY}
    assert all(deployments[name].stop_reason is not None for name in OWN)
    assert deployments["acme-eu"].stop_reason is None


async def test_model_whose_deployment_fails_is_not_comparable(bench: DeployedBench) -> None:
    bench.failing = {"globex"}
    ended = await bench.run(await bench.request())
    assert ended.result is not None, ended.message
    [account] = [each for each in ended.result["accounts"] if each["account"] == "globex"]
    assert account["verdict"] == "not_comparable"
    [error] = {each.message for each in await bench.list_answers(ended) if each.model == "globex"}
    assert error == "its deployment is failed: there is no capacity"
    assert {each.account for each in bench.sandbox.questions} == {"acme-eu", "acme-us"}


async def test_price_that_nobody_approves_is_not_waited_for_forever(bench: DeployedBench) -> None:
    ended = await bench.run(await bench.request(price=find_no_price))
    assert ended.state is ComparisonState.STOPPED
    assert "1 models can be called, and a comparison needs two" in (ended.message or "")
    assert "on hold: the price per hour of the deployment is unknown" in (ended.message or "")
    assert (ended.finished_at or 0.0) - ended.created_at == pytest.approx(MAX_HELD_SECONDS, abs=60)
    deployments = await bench.list_deployments()
    assert all(deployments[name].stop_reason is not None for name in OWN)


async def test_account_that_stays_on_hold_is_not_waited_for_forever(bench: DeployedBench) -> None:
    bench.held = {"globex"}
    comparison = await bench.request()
    await hold_accounts(bench.database, ["globex"], reason="do not use it", by="operator:bob", now=bench.now)
    ended = await bench.run(comparison)
    assert ended.result is not None, ended.message
    [account] = [each for each in ended.result["accounts"] if each["account"] == "globex"]
    assert account["verdict"] == "not_comparable"
    [error] = {each.message for each in await bench.list_answers(ended) if each.model == "globex"}
    assert error == "its account is on hold: do not use it"
    asked_at = min(each.at for each in await bench.list_answers(ended) if each.model == "acme-us")
    assert asked_at - ended.created_at == pytest.approx(MAX_HELD_SECONDS, abs=60)


async def test_operator_who_stops_a_comparison_stops_its_deployments(bench: DeployedBench) -> None:
    comparison = await bench.request()
    await stop_comparison(bench.database, comparison.id, by="operator:ada", now=bench.now)
    deployments = await bench.list_deployments()
    assert {name for name, each in deployments.items() if each.stop_reason is not None} == set(OWN)


async def test_deployments_of_an_ended_comparison_are_stopped_by_the_service(bench: DeployedBench) -> None:
    comparison = await bench.request()
    ended = replace(comparison, state=ComparisonState.STOPPED, finished_at=bench.now)
    await bench.database.write(lambda tx: comparison_records.finish(tx, ended, at=bench.now, cause="service"))
    assert {each.stop_reason for each in (await bench.list_deployments()).values()} == {None}

    async def load_probes(_: Comparison) -> dict[str, Probe]:
        return bench.probes

    now: Callable[[], float] = lambda: bench.now  # noqa: E731
    worker = ComparisonWorker(
        bench.database, bench.create_runner(), load_probes=load_probes, now=now, log=structlog.get_logger()
    )
    await worker.tick()
    await asyncio.gather(*worker.active_tasks)
    deployments = await bench.list_deployments()
    assert {name for name, each in deployments.items() if each.stop_reason is not None} == set(OWN)
