"""Preview of an operator action: which accounts it would reach and what that would cost, for its confirmation."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES
from orchestrator.core.jobs.operator_action import OperatorAction, is_applicable
from orchestrator.store.db.database import Database
from orchestrator.store.queries import job_search, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPreview:
    """The effect of an operator action."""

    accounts: tuple[str, ...]
    usd: float
    """Estimated price of the jobs that would be submitted, as far as it is known."""
    unpriced: int
    """Number of these jobs without a known price."""


async def preview_action(
    database: Database, action: OperatorAction, job_filter: JobFilter, now: float
) -> ActionPreview:
    """Return the accounts of the current run that match the filter and that the action would change."""
    async with database.read_long() as connection:
        run = await runs.find_current(connection)
        candidates = await job_search.list_candidates(connection, run, job_filter, now) if run else []
    affected = [
        candidate
        for candidate in candidates
        if is_applicable(action, candidate.state, held=candidate.held, error_kind=candidate.kind)
    ]
    submitted_by_it = [
        each
        for each in affected
        if action is OperatorAction.RETRY or not (each.sent or each.state in TERMINAL_STATES)
    ]
    prices = [each.usd for each in submitted_by_it]
    return ActionPreview(
        accounts=tuple(dict.fromkeys(each.account for each in affected)),
        usd=sum(usd for usd in prices if usd is not None),
        unpriced=prices.count(None),
    )
