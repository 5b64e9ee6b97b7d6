"""Plans of several runs over the same accounts, applied together as the service does."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from store_values import DATASET, NOW, SPEC

from orchestrator import control
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.jobs.job import job_id, run_id
from orchestrator.core.plans.plan import Plan, PlanLine, PlanStep
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database

ACCOUNTS = ("a", "b")


def a_plan(name: str, epochs: int, accounts: Collection[str] = ACCOUNTS, priority: int = 0) -> Plan:
    specs = {ProviderName.OPENAI: replace(SPEC, n_epochs=epochs)}
    lines = tuple(a_line(account, specs[ProviderName.OPENAI]) for account in accounts)
    identity = run_id(DATASET.sha256, specs)
    return Plan(run_id=identity, name=name, dataset=DATASET, specs=specs, lines=lines, priority=priority)


def a_line(account: str, spec: TrainingSpec) -> PlanLine:
    return PlanLine(
        account=account,
        provider=ProviderName.OPENAI,
        base_model=spec.base_model,
        job_id=job_id(DATASET.sha256, ProviderName.OPENAI, spec, account),
        step=PlanStep.NEW,
        usd=1.0,
    )


async def apply(
    database: Database,
    *plans: Plan,
    accounts: Collection[str] = ACCOUNTS,
    unchanged: Collection[str] = (),
    gates: Mapping[str, bool] | None = None,
) -> None:
    listed = [Account(name=name, provider=ProviderName.OPENAI, api_key="env:KEY") for name in accounts]
    await control.sync_accounts(database, [control.ListedAccount(one, "12345678") for one in listed], now=NOW)
    checked = [control.CheckedPlan(plan=plan) for plan in plans]
    await control.apply_plans(
        database,
        checked,
        accounts=accounts,
        unchanged=unchanged,
        gates=gates,
        start=True,
        now=NOW,
        cause="service",
    )
