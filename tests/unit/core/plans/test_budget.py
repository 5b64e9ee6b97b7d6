from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from core_values import a_run, an_account

from orchestrator.core.account import BudgetPeriod
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.plans.budget import (
    CommittedSpend,
    add_to_run_price,
    find_budget_hold,
    month_start,
    next_month_start,
)

COMMITTED = CommittedSpend(total=9.0, month=5.0, run=1.0)


@pytest.mark.parametrize(
    ("period", "fits", "words"),
    [
        (BudgetPeriod.TOTAL, 1.0, "$9.00 of the account's budget of $10.00 are"),
        (BudgetPeriod.MONTH, 5.0, "$5.00 of the account's budget of $10.00 for this month (UTC) are"),
        (BudgetPeriod.RUN, 9.0, "$1.00 of the account's budget of $10.00 for this run are"),
    ],
)
def test_a_budget_counts_what_is_committed_in_its_period(period: BudgetPeriod, fits: float, words: str) -> None:
    account = an_account(budget_usd=10.0, budget_period=period)
    assert find_budget_hold(account, fits, COMMITTED) is None
    held = find_budget_hold(account, fits + 0.01, COMMITTED)
    assert held is not None
    assert words in held.reason


def test_price_that_uses_up_the_budget_fits_in_whatever_order_the_others_are_added() -> None:
    prices = (4.99, 3.65, 2.57, 4.80)
    account = an_account(budget_usd=20.97)
    for others in permutations(prices):
        assert find_budget_hold(account, 4.96, CommittedSpend(total=sum(others))) is None
    assert find_budget_hold(account, 4.96, CommittedSpend(total=math.fsum(prices))) is None
    assert find_budget_hold(account, 4.9601, CommittedSpend(total=math.fsum(prices))) is not None


def test_a_budget_is_for_all_jobs_unless_the_file_says_otherwise() -> None:
    assert an_account().budget_period is BudgetPeriod.TOTAL


@pytest.mark.parametrize(
    ("now", "start"),
    [
        (datetime(2026, 11, 28, 23, 59, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
        (datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), datetime(2028, 2, 1, tzinfo=UTC)),
    ],
)
def test_a_month_begins_at_midnight_utc(now: datetime, start: datetime) -> None:
    assert month_start(now.timestamp()) == start.timestamp()


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Kiritimati"])
def test_month_begins_at_midnight_utc_on_a_machine_in_any_time_zone(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        start = month_start(datetime(2026, 11, 28, tzinfo=UTC).timestamp())
    finally:
        monkeypatch.undo()
        time.tzset()
    assert start == datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def test_committed_spends_are_added_in_every_period() -> None:
    other = CommittedSpend(total=1.0, month=2.0, run=4.0)
    assert COMMITTED.add(other) == CommittedSpend(total=10.0, month=7.0, run=5.0)


@pytest.mark.parametrize(
    ("approved", "usd", "is_held"),
    [
        ({}, 2.0, False),
        ({}, 2.01, True),
        ({"approved_at": 1.0, "approved_usd": 11.0}, 3.0, False),
        ({"approved_at": 1.0, "approved_usd": 11.0}, 3.01, True),
        ({"approved_at": 1.0, "approved_usd": None}, 90.0, False),
    ],
)
def test_retry_holds_its_run_above_the_limit(approved: dict[str, Any], usd: float, *, is_held: bool) -> None:
    run = add_to_run_price(a_run(planned_usd=8.0, planned_limit_usd=10.0, **approved), usd)
    assert run.planned_usd == 8.0 + usd
    assert (run.hold is not None and run.hold.kind == HoldKind.RUN_TOO_EXPENSIVE) is is_held


def test_retry_keeps_another_hold_and_an_unknown_price() -> None:
    hold = Hold(HoldKind.RETIRES_SOON, "soon", "Choose another one.")
    held = add_to_run_price(a_run(planned_usd=8.0, planned_limit_usd=10.0, hold=hold), 9.0)
    assert (held.planned_usd, held.hold) == (17.0, hold)
    unknown = a_run(planned_usd=None, planned_limit_usd=10.0)
    assert add_to_run_price(unknown, 9.0) == unknown
    assert add_to_run_price(a_run(planned_usd=8.0), 900.0).hold is None, "without a limit"


@pytest.mark.parametrize(
    ("period", "until"), [(BudgetPeriod.MONTH, 7.0), (BudgetPeriod.TOTAL, None), (BudgetPeriod.RUN, None)]
)
def test_only_the_hold_of_a_budget_for_the_month_ends_with_it(period: BudgetPeriod, until: float | None) -> None:
    hold = find_budget_hold(an_account(budget_usd=1.0, budget_period=period), 2.0, COMMITTED, month_end=7.0)
    assert hold is not None
    assert (hold.until, "next month" in hold.hint) == (until, until is not None)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)),
        (datetime(2028, 11, 29, 12, tzinfo=UTC), datetime(2028, 12, 1, tzinfo=UTC)),
    ],
)
def test_a_month_ends_when_the_next_one_begins(now: datetime, end: datetime) -> None:
    assert next_month_start(now.timestamp()) == end.timestamp()
