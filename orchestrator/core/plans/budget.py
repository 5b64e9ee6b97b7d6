"""Budget: what the jobs of one account may cost together, and in which period they are added up.

A remote job counts with its estimated price from the moment in which the intent to create it is written, until it is
certain that it was not created: a create that the provider refused counts nothing, one whose outcome is unknown
counts. The remote jobs of earlier rounds (retries) count as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, assert_never

from orchestrator.core.account import Account, BudgetPeriod
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.text import format_usd


@dataclass(frozen=True, slots=True)
class CommittedSpend:
    """The estimated price of an account's remote jobs, in US dollars: of all, of this month's and of one run's."""

    total: float = 0.0
    month: float = 0.0
    run: float = 0.0

    def amount_for(self, period: BudgetPeriod) -> float:
        """Return what counts against a budget for this period."""
        match period:
            case BudgetPeriod.TOTAL:
                return self.total
            case BudgetPeriod.MONTH:
                return self.month
            case BudgetPeriod.RUN:
                return self.run
            case _:
                assert_never(period)


NO_COMMITTED_SPEND: Final = CommittedSpend()
_BUDGET_DESCRIPTIONS: Final = {
    BudgetPeriod.TOTAL: "the account's budget of {}",
    BudgetPeriod.MONTH: "the account's budget of {} for this month (UTC)",
    BudgetPeriod.RUN: "the account's budget of {} for this run",
}


def month_start(now: float) -> float:
    """Return when the calendar month (UTC) began that `now` is in, in epoch seconds."""
    date = datetime.fromtimestamp(now, UTC)
    return datetime(date.year, date.month, 1, tzinfo=UTC).timestamp()


def find_budget_hold(account: Account, usd: float | None, committed: CommittedSpend) -> Hold | None:
    """Return what holds a job of this price where so much is committed already; None where it fits."""
    spent = committed.amount_for(account.budget_period)
    if account.budget_usd is None or usd is None or spent + usd <= account.budget_usd:
        return None
    budget = _BUDGET_DESCRIPTIONS[account.budget_period].format(format_usd(account.budget_usd))
    return Hold(
        HoldKind.OVER_BUDGET,
        f"this job is estimated at {format_usd(usd)} and {format_usd(spent)} of {budget} are committed already",
        f"Raise `budget_usd` of account {account.name} in the accounts file, or make the dataset smaller.",
    )
