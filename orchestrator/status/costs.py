"""What a run costs, by provider and over time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.run import Run
from orchestrator.core.plans.spending import (
    FindPrice,
    JobCost,
    ProviderSpending,
    SpendingPoint,
    sum_by_provider,
    sum_over_time,
)
from orchestrator.core.structs import Struct
from orchestrator.status.run_overview import find_run
from orchestrator.store.db.database import Database
from orchestrator.store.queries import costs


class RunCosts(Struct, frozen=True, kw_only=True):
    """The prices of a run's jobs."""

    run: str
    run_name: str
    providers: Sequence[ProviderSpending]
    over_time: Sequence[SpendingPoint]


async def find_costs(database: Database, find_price: FindPrice, *, run_id: str | None = None) -> RunCosts | None:
    """Return the prices of the run that `find_run` finds; None when there is none.

    `find_price` gives the price of the price file, by which the trained tokens are priced.
    """
    async with database.read_long() as connection:
        run = await find_run(connection, run_id)
        if run is None:
            return None
        rows = await costs.list_by_run(connection, run.id)
    # In a thread: the prices of a hundred thousand jobs take a second, for which the event loop must not wait.
    return await asyncio.to_thread(_sum_costs, run, rows, find_price)


def _sum_costs(run: Run, rows: Sequence[Any], find_price: FindPrice) -> RunCosts:
    methods = {provider.value: spec.method for provider, spec in run.specs.items()}
    known = [
        JobCost(
            provider=ProviderName(row.provider).value,
            base_model=row.base_model,
            method=methods.get(row.provider, ""),
            planned_usd=row.estimated_usd,
            submitted_usd=None if row.estimated_usd is None and row.is_created else row.created_usd,
            is_submitted=bool(row.is_created) or row.earlier_usd is not None,
            quoted_usd=row.quoted_usd,
            trained_tokens=row.trained_tokens,
            submitted_at=row.submitted_at,
        )
        for row in rows
    ]
    return RunCosts(
        run=run.id,
        run_name=run.name,
        providers=sum_by_provider(known, find_price),
        over_time=sum_over_time(known),
    )
