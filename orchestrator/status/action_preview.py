"""Asked: whom a verb would reach, and what that would cost, for its confirmation."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.operator_action import OperatorAction, is_applicable
from orchestrator.store.db.database import Database
from orchestrator.store.queries import job_search, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPreview:
    """The accounts, and the estimated price of the jobs that would be sent; `unpriced` counts those without one."""

    accounts: tuple[str, ...]
    usd: float
    unpriced: int


async def preview_action(
    database: Database, action: OperatorAction, job_filter: JobFilter, now: float
) -> ActionPreview:
    """The accounts of the current run that the selection means and the verb would change."""
    async with database.read_long() as connection:
        run = await runs.find_current(connection)
        marks = await job_search.list_candidates(connection, run, job_filter, now) if run else []
    meant = [mark for mark in marks if is_applicable(action, mark.state, held=mark.held, error_kind=mark.kind)]
    prices = [mark.usd for mark in meant if action is OperatorAction.RETRY or not mark.sent]
    return ActionPreview(
        accounts=tuple(dict.fromkeys(mark.account for mark in meant)),
        usd=sum(usd for usd in prices if usd is not None),
        unpriced=prices.count(None),
    )
