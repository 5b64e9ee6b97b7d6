"""Preview of an operator action: which accounts it would reach and what that would cost, for its confirmation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES
from orchestrator.core.jobs.operator_action import OperatorAction, is_applicable
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import job_search, runs
from orchestrator.store.queries.job_search import ActionCandidate

ACCOUNT_WIDE_ACTIONS: Final = frozenset({OperatorAction.HOLD, OperatorAction.RELEASE})


class ActionPreview(Struct, frozen=True, kw_only=True):
    """The effect of an operator action."""

    accounts: tuple[str, ...]
    usd: float
    """Estimated price of the jobs that would be submitted, as far as it is known."""
    unpriced: int
    """Number of these jobs without a known price."""
    run_id: str = ""
    """Id of the only run to which the action applies; empty: of several runs, or of the accounts themselves."""


async def preview_action(
    database: Database, action: OperatorAction, job_filter: JobFilter, now: float, *, run_name: str | None = None
) -> ActionPreview:
    """Return the accounts that match the filter in the current runs, or in one of them, and that the action changes.

    A hold or a release of an account concerns its jobs in all runs, so `run_name` selects the accounts only, and the
    price is that of all runs.
    """
    async with database.read_long() as connection:
        current = await runs.list_current(connection)
        selected = [run for run in current if run_name in {None, run.name, run.id}]
        affected = await _list_affected(connection, action, selected, job_filter, now)
        if action in ACCOUNT_WIDE_ACTIONS and len(selected) < len(current):
            names = tuple({candidate.account for candidate in affected})
            affected = (
                await _list_affected(connection, action, current, JobFilter(accounts=names), now) if names else []
            )
    submitted_by_it = [
        each
        for each in affected
        if action is OperatorAction.RETRY or not (each.sent or each.state in TERMINAL_STATES)
    ]
    prices = [each.usd for each in submitted_by_it]
    return ActionPreview(
        accounts=tuple(sorted({each.account for each in affected})),
        usd=sum(usd for usd in prices if usd is not None),
        unpriced=prices.count(None),
        run_id=selected[0].id if len(selected) == 1 and action not in ACCOUNT_WIDE_ACTIONS else "",
    )


async def _list_affected(
    connection: StoreConnection, action: OperatorAction, selected: Iterable[Run], job_filter: JobFilter, now: float
) -> list[ActionCandidate]:
    return [
        candidate
        for run in selected
        for candidate in await job_search.list_candidates(connection, run, job_filter, now)
        if is_applicable(
            action, candidate.state, held=candidate.held, error_kind=candidate.kind, removed=candidate.removed
        )
    ]
