from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from core_values import NOW
from deployment_values import DEPLOYMENT_SPEC, KEEP_SECONDS, a_deployment
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.deployment.cost import (
    DeploymentOption,
    DeploymentPrice,
    add_ended_round,
    calculate_committed_usd,
    calculate_cost_so_far,
    calculate_hosting_usd,
    calculate_token_usd,
    estimate_deployment_usd,
    find_price_hold,
    get_earlier_usd_since,
    sort_deployment_options,
)
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.structs import replace

READY = a_deployment(DeploymentState.READY, usd_per_hour=6.0, create_started_at=NOW, expires_at=NOW + KEEP_SECONDS)


@pytest.mark.parametrize(
    ("seconds", "replicas", "usd"),
    [(0, 1, 0), (1, 1, 0.1), (60, 1, 0.1), (60.01, 1, 0.2), (3600, 1, 6), (3600, 3, 18), (-5, 1, 0)],
)
def test_begun_minutes_are_whole_ones(seconds: float, replicas: int, usd: float) -> None:
    assert calculate_hosting_usd(6.0, seconds, replicas) == pytest.approx(usd)


def test_forgotten_deployment_of_a_month() -> None:
    assert calculate_hosting_usd(1.70, 720 * 3600) == pytest.approx(1224.0)


@given(st.floats(0, 100), st.floats(0, 1e7), st.floats(0, 1e7), st.integers(1, 8))
def test_hosting_is_never_below_the_exact_price_and_grows(
    usd: float, first: float, more: float, replicas: int
) -> None:
    low = calculate_hosting_usd(usd, first, replicas)
    high = calculate_hosting_usd(usd, first + more, replicas)
    assert low is not None
    assert high is not None
    assert low <= high + 1e-9
    assert low >= usd * replicas * (first - 0.001) / 3600 - 1e-6


def test_tokens_are_priced_by_direction_and_an_unknown_price_is_none() -> None:
    price = DeploymentPrice(
        kind=DeploymentKind.TOKEN, usd_per_hour=0.0, usd_per_million_input=0.40, usd_per_million_output=1.60
    )
    assert calculate_token_usd(price, 760_000, 380_000) == pytest.approx(0.912)
    unknown = replace(price, usd_per_million_output=None)
    assert calculate_token_usd(unknown, 1000, 1) is None
    assert calculate_token_usd(unknown, 1_000_000, 0) == pytest.approx(0.40)


def test_estimate_counts_all_replicas_until_the_expiry() -> None:
    spec = replace(DEPLOYMENT_SPEC, keep_hours=10.0, min_replicas=0, max_replicas=2)
    assert estimate_deployment_usd(spec, 4.0) == pytest.approx(80)
    assert estimate_deployment_usd(spec, 0.0) == 0
    assert estimate_deployment_usd(spec, None) is None


def test_committed_cost_runs_to_the_expiry_and_the_cost_so_far_to_now() -> None:
    assert calculate_committed_usd(READY) == pytest.approx(12)
    assert calculate_cost_so_far(READY, NOW + 600) == pytest.approx(1)
    ended = replace(READY, state=DeploymentState.STOPPED, ended_at=NOW + 1800)
    assert calculate_committed_usd(ended) == pytest.approx(3)
    assert calculate_cost_so_far(ended, NOW + 9e9) == pytest.approx(3)
    assert calculate_committed_usd(a_deployment()) == 0
    assert calculate_cost_so_far(replace(READY, usd_per_hour=None), NOW + 1) is None


def test_ways_without_an_hourly_price_come_first_and_unknown_prices_last() -> None:
    def option(usd: float | None, config: str) -> DeploymentOption:
        return DeploymentOption(price=DeploymentPrice(kind=DeploymentKind.HOUR, usd_per_hour=usd), config=config)

    options = [option(None, "a"), option(4.0, "b"), option(0.0, "c"), option(1.7, "d"), option(1.7, "c")]
    in_order = [(each.price.usd_per_hour, each.config) for each in sort_deployment_options(options)]
    assert in_order == [(0.0, "c"), (1.7, "c"), (1.7, "d"), (4.0, "b"), (None, "a")]


def test_unknown_price_holds_until_it_is_approved() -> None:
    hold = find_price_hold(DEPLOYMENT_SPEC, None)
    assert hold is not None
    assert (hold.kind, "2 hours" in hold.reason) == ("price_unknown", True)
    assert find_price_hold(DEPLOYMENT_SPEC, None, budget_left_usd=1.0, is_approved=True) is None


@pytest.mark.parametrize(
    ("limits", "kind", "left"),
    [
        ({"budget_left_usd": 11.99}, "over_budget", "11.99 USD of the account's budget"),
        ({"budget_left_usd": 11.99, "is_approved": True}, "over_budget", "11.99 USD"),
        ({"run_left_usd": 11.98}, "run_too_dear", "11.98 USD of the run's limit"),
        ({"budget_left_usd": 1.0, "run_left_usd": 2.0}, "over_budget", "1.00 USD"),
        ({"budget_left_usd": -0.13}, "over_budget", "and 0.00 USD of the account's budget"),
        ({"run_left_usd": -0.13}, "run_too_dear", "and 0.00 USD of the run's limit"),
    ],
)
def test_price_above_what_is_left_holds_and_names_the_dollars(limits: dict[str, Any], kind: str, left: str) -> None:
    hold = find_price_hold(DEPLOYMENT_SPEC, 6.0, **limits)
    assert hold is not None
    assert hold.kind == kind
    assert "12.00 USD" in hold.reason
    assert left in hold.reason


def test_price_within_the_limits_or_approved_for_the_run_does_not_hold() -> None:
    assert find_price_hold(DEPLOYMENT_SPEC, 6.0) is None
    assert find_price_hold(DEPLOYMENT_SPEC, 6.0, budget_left_usd=12.0, run_left_usd=12.0) is None
    assert find_price_hold(DEPLOYMENT_SPEC, 6.0, run_left_usd=1.0, is_approved=True) is None
    assert find_price_hold(DEPLOYMENT_SPEC, 0.0, budget_left_usd=0.0, run_left_usd=0.0) is None


def test_price_that_uses_up_the_limits_exactly_does_not_hold_because_of_rounding() -> None:
    left = 0.3 - (0.1 + 0.1)  # after two deployments of the same price
    assert left < 2 * 0.05
    assert find_price_hold(DEPLOYMENT_SPEC, 0.05, budget_left_usd=left, run_left_usd=left) is None


def test_nothing_is_committed_or_spent_before_the_create() -> None:
    assert calculate_committed_usd(a_deployment(usd_per_hour=6.0)) == 0
    assert calculate_cost_so_far(a_deployment(usd_per_hour=6.0), NOW) == 0


def test_ended_round_counts_until_its_end_and_adds_up_with_the_earlier_ones() -> None:
    ended = replace(READY, state=DeploymentState.STOPPED, ended_at=NOW + 1800)
    first = add_ended_round(ended, now=NOW + 9e9)
    assert first == {"earlier_usd": 3.0, "earlier_month_usd": 3.0, "earlier_started_at": NOW}
    second = add_ended_round(replace(READY, **first), now=NOW + 600)  # removed before its expiry, to be created again
    assert second == {"earlier_usd": 4.0, "earlier_month_usd": 4.0, "earlier_started_at": NOW}


@pytest.mark.parametrize("changes", [{"create_started_at": None}, {"usd_per_hour": None}, {"usd_per_hour": 0.0}])
def test_round_without_a_create_or_a_known_price_changes_nothing_of_the_earlier_ones(changes: dict[str, Any]) -> None:
    assert add_ended_round(replace(READY, earlier_usd=3.0, ended_at=NOW + 60, **changes), now=NOW + 60) == {}


def test_earlier_rounds_count_in_the_month_of_their_create() -> None:
    november, december = datetime(2026, 11, 1, tzinfo=UTC).timestamp(), datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    costs: dict[str, Any] = {}
    sums = []
    for started_at in (december - 7200, december - 1800, december + 7200):  # the second ends in December
        created = replace(READY, create_started_at=started_at, ended_at=started_at + 3600, **costs)
        costs |= add_ended_round(created, now=started_at + 3600)
        earlier = replace(READY, **costs)
        sums.append([earlier.earlier_usd, *(get_earlier_usd_since(earlier, month) for month in (november, december))])
    assert sums == [[6.0, 6.0, 0.0], [12.0, 12.0, 0.0], [18.0, 6.0, 6.0]]


def test_round_that_seems_earlier_because_the_clock_was_set_back_counts_in_the_later_month() -> None:
    december = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    ended = replace(READY, create_started_at=december - 7200, ended_at=december - 3600)
    after = replace(
        ended,
        **add_ended_round(
            replace(ended, earlier_usd=6.0, earlier_month_usd=6.0, earlier_started_at=december + 60), now=december
        ),
    )
    assert get_earlier_usd_since(after, december) == 12.0


def test_cost_of_a_deployment_without_an_end_is_unknown() -> None:
    endless = replace(READY, state=DeploymentState.STOPPED, expires_at=None)
    assert calculate_committed_usd(endless) is None


def test_unused_direction_of_tokens_costs_nothing_even_if_many_are_sent() -> None:
    price = DeploymentPrice(kind=DeploymentKind.TOKEN, usd_per_hour=0.0, usd_per_million_input=0.5)
    assert calculate_token_usd(price, 4_000_000_000, 0) == pytest.approx(2000, abs=1e-6)


def test_ways_of_equal_price_are_sorted_by_their_names_and_unnamed_ones_come_first() -> None:
    def option(**names: str) -> DeploymentOption:
        return DeploymentOption(price=DeploymentPrice(kind=DeploymentKind.HOUR, usd_per_hour=None), **names)

    options = [option(shape="b"), option(hardware="a"), option(), option(config="a"), option(shape="a", hardware="b")]
    in_order = [(each.config, each.shape, each.hardware) for each in sort_deployment_options(options)]
    assert in_order == [
        (None, None, None), (None, None, "a"), (None, "a", "b"), (None, "b", None), ("a", None, None)
    ]  # fmt: skip
