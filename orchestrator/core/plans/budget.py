"""Budgets: what the jobs and deployments of one account may cost together in a period.

A remote job counts with its estimated price from the moment at which the intent to create it is written, unless it is
certain that it was not created: a create that the provider rejected does not count, a create with an unknown outcome
does. The remote jobs of earlier rounds (retries) count as well.

A deployment counts with its price from its create to its expiry, or to its end once it has ended. The earlier rounds
of one that is requested again count as well.

`max_total_usd` limits a whole run. The plan checks it; a retry adds to the price between two plans.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, assert_never

from orchestrator.core.account import Account, BudgetPeriod
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_usd


class CommittedSpend(Struct, frozen=True):
    """The estimated prices of an account's remote jobs and deployments in US dollars."""

    total: float = 0.0  # of all time
    month: float = 0.0  # of this calendar month (UTC)
    run: float = 0.0  # of one run

    def add(self, other: CommittedSpend) -> CommittedSpend:
        """Return the sum of both."""
        return CommittedSpend(self.total + other.total, self.month + other.month, self.run + other.run)

    def amount_for(self, period: BudgetPeriod) -> float:
        """Return the amount that counts towards a budget of this period."""
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
    """Return the beginning of the calendar month (UTC) of `now`, in epoch seconds."""
    date = datetime.fromtimestamp(now, UTC)
    return datetime(date.year, date.month, 1, tzinfo=UTC).timestamp()


ROUNDING_USD: Final = 1e-6
"""Sums of the same prices in another order differ by less; without it a budget could fit the plan and not the job."""


def next_month_start(now: float) -> float:
    """Return the end of the calendar month (UTC) of `now`, in epoch seconds."""
    date = datetime.fromtimestamp(now, UTC)
    return datetime(date.year + date.month // 12, date.month % 12 + 1, 1, tzinfo=UTC).timestamp()


def find_budget_hold(
    account: Account, usd: float | None, committed: CommittedSpend, *, month_end: float | None = None
) -> Hold | None:
    """Return the hold of a job whose price does not fit into the account's budget; None if it fits or is unknown.

    The hold of a budget for the month ends at `month_end` (epoch seconds), when the budget begins again.
    """
    spent = committed.amount_for(account.budget_period)
    if account.budget_usd is None or usd is None or spent + usd <= account.budget_usd + ROUNDING_USD:
        return None
    budget = _BUDGET_DESCRIPTIONS[account.budget_period].format(format_usd(account.budget_usd))
    is_monthly = account.budget_period is BudgetPeriod.MONTH
    hint = f"Raise `budget_usd` of account {account.name} in the accounts file, or make the dataset smaller."
    return Hold(
        HoldKind.OVER_BUDGET,
        f"this job is estimated at {format_usd(usd)} and {format_usd(spent)} of {budget} are committed already",
        f"{hint} The next month (UTC) has its own budget." if is_monthly else hint,
        month_end if is_monthly else None,
    )


def add_to_run_price(run: Run, usd: float) -> Run:
    """Return the run after a retry that costs `usd` more: held if that is more than `max_total_usd` allows.

    An approval of the run covers prices up to the approved one. A run whose price is unknown stays as it is.
    """
    if run.planned_usd is None or not usd:
        return run
    planned, limit = round(run.planned_usd + usd, 4), run.planned_limit_usd
    run = replace(run, planned_usd=planned)
    if run.hold is not None or limit is None or planned <= limit or run.is_price_approved(planned):
        return run
    hold = Hold(
        HoldKind.RUN_TOO_EXPENSIVE,
        f"with its retried jobs the run is estimated at {format_usd(planned)}, more than the {format_usd(limit)} "
        "that max_total_usd leaves for training",
        "Raise `max_total_usd`, list fewer accounts, or `orchestrator approve` the run.",
    )
    return replace(run, hold=hold)
