"""The preview of an operator action: the accounts it applies to and what that would cost.

The API's filter, the dashboard and `--all` of the command line use it, so that they reach the same accounts.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.operator_action import OperatorAction, is_applicable
from orchestrator.store.db.database import Database
from orchestrator.store.queries import job_search, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPreview:
    """What an action would apply to."""

    accounts: tuple[str, ...]
    usd: float
    """Estimated price in US dollars of the jobs that would be submitted."""
    unpriced: int
    """Number of these jobs without a known price."""


async def preview_action(
    database: Database, action: OperatorAction, job_filter: JobFilter, now: float
) -> ActionPreview:
    """Return the accounts of the current run that match the filter and to which the action applies."""
    async with database.read_long() as connection:
        run = await runs.find_current(connection)
        candidates = await job_search.list_candidates(connection, run, job_filter, now) if run else []
    applicable = [
        each for each in candidates if is_applicable(action, each.state, held=each.held, error_kind=each.kind)
    ]
    # A job that was submitted costs nothing more, except that a retry submits it again.
    prices = [each.usd for each in applicable if action is OperatorAction.RETRY or not each.sent]
    return ActionPreview(
        accounts=tuple(dict.fromkeys(each.account for each in applicable)),
        usd=sum(usd for usd in prices if usd is not None),
        unpriced=prices.count(None),
    )
