"""Reconcilers on real databases over providers of the tests' own, and jobs that are ready to be submitted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import cast

import structlog
from store_values import a_job, a_standing

from orchestrator.app import SystemClock
from orchestrator.core.account import Account, AccountIdentity, BudgetPeriod, ProviderName
from orchestrator.core.clock import Clock
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.secret import Redactor
from orchestrator.daemon.job_loader import build_job_loader
from orchestrator.daemon.provider_steps import StepTiming
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.daemon.reconciler_factory import build_reconciler
from orchestrator.providers.base import Provider, ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts

clock = SystemClock()


def ready_job(account: str, name: str = "") -> Job:
    """A job with its file at the provider. Its id is `name`, or that of its account."""
    now = clock.now()
    times = dict.fromkeys(("wake_at", "created_at", "state_since"), now)
    return a_job(account, id=JobId(name or account), state=JobState.READY, remote_file_id="file-1", **times)


def make_reconciler(
    database: Database,
    remotes: Mapping[str, object],
    budget_usd: float | None = None,
    *,
    clock: Clock = clock,
    clock_agrees: Callable[[], bool] = lambda: True,
    poll_min: float = 60,
    slots: int = 1,
    budget_period: BudgetPeriod = BudgetPeriod.TOTAL,
) -> Reconciler:
    """A replica that speaks to these providers, by account: one job at a time, within this budget each."""

    async def identify(connection: ProviderConnection) -> tuple[ProviderConnection, AccountIdentity]:
        raise AssertionError("the accounts are verified")

    def connected(name: str, remote: object) -> ProviderConnection:
        account = Account(
            name=name,
            provider=ProviderName.OPENAI,
            api_key="env:KEY",
            max_running_jobs=slots,
            budget_usd=budget_usd,
            budget_period=budget_period,
        )
        return ProviderConnection(account, "12345678", cast(Provider, remote))

    return build_reconciler(
        database,
        {name: connected(name, remote) for name, remote in remotes.items()},
        load=build_job_loader(database),
        identify=identify,
        redact=Redactor(),
        clock=clock,
        jitter=lambda: 0.5,
        timing=StepTiming(poll_min_seconds=poll_min, poll_max_seconds=60, intent_seconds=30),
        datasets=Path("datasets"),
        replica="replica",
        log=structlog.get_logger("orchestrator"),
        clock_agrees=clock_agrees,
    )


async def verify_accounts(database: Database, names: Iterable[str]) -> None:
    """From now on these accounts are verified and nothing else is known of them."""
    for name in names:
        await database.write(lambda tx, name=name: accounts.save(tx, a_standing(name)))  # type: ignore[misc]
