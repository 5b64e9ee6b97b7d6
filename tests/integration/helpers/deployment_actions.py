"""Finished models that need a deployment, and what an operator requests of them, for the tests beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store_values import NOW, a_job, fill

from orchestrator import control
from orchestrator.control import DeploymentPlan, DeploymentSelection
from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.cost import DeploymentPrice
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.transitions import DeploymentOutcome
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.store.db.database import Database
from orchestrator.store.queries.deployments import deployment_records

USD_PER_HOUR = 2.9
HOURS = {"keep_hours": 4.0}
TABLES = {ProviderName.FIREWORKS: DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=8, max_replicas=2)}


def a_finished_job(account: str, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "provider": ProviderName.FIREWORKS,
        "state": JobState.SUCCEEDED,
        "fine_tuned_model": f"accounts/{account}/models/m-1",
        "servable": False,
        "wake_at": None,
    }
    return a_job(account, **(values | changes))


async def fill_finished(database: Database, *accounts: str) -> None:
    await fill(database, [a_finished_job(account) for account in accounts])


async def find_price(account: str, base_model: str, spec: DeploymentSpec) -> DeploymentPrice | None:
    usd = 0.0 if spec.kind is DeploymentKind.TOKEN else USD_PER_HOUR
    return DeploymentPrice(kind=spec.kind, usd_per_hour=usd, source="price page")


async def find_no_price(account: str, base_model: str, spec: DeploymentSpec) -> DeploymentPrice | None:
    return DeploymentPrice(kind=spec.kind, usd_per_hour=None)


async def plan(
    database: Database,
    *accounts: str,
    price: Any = find_price,
    tables: Mapping[ProviderName, DeploymentSpec] | None = None,
    **selected: Any,
) -> DeploymentPlan:
    selection = DeploymentSelection(**({"accounts": accounts, "options": HOURS} | selected))
    return await control.plan_deployments(database, selection, get_tables=lambda _run: tables or {}, find_price=price)


async def deploy(database: Database, *accounts: str, now: float = NOW, **selected: Any) -> list[Deployment]:
    planned = await plan(database, *accounts, **selected)
    return await control.deploy(database, planned, by="operator:ann", now=now)


async def list_all(database: Database) -> dict[str, Deployment]:
    """The deployments by account; the newest of each."""
    async with database.read() as connection:
        names = sorted({each.account for each in await deployment_records.list_open(connection)})
        return {name: (await deployment_records.list_by_account(connection, name))[0] for name in names}


async def record(database: Database, outcome: DeploymentOutcome, at: float = NOW) -> Deployment:
    assert await database.write(lambda tx: deployment_records.record(tx, outcome, at=at, cause="service"))
    return outcome.deployment
