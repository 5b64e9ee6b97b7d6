from __future__ import annotations

from typing import Any

import pytest
from core_values import NOW
from deployment_values import DEPLOYMENT_SPEC, KEEP_SECONDS, a_deployment
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.deployment.cost import (
    DeploymentOption,
    DeploymentPrice,
    calculate_committed_usd,
    calculate_cost_so_far,
    calculate_hosting_usd,
    calculate_token_usd,
    estimate_deployment_usd,
    find_price_hold,
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


def test_nothing_is_committed_or_spent_before_the_create() -> None:
    assert calculate_committed_usd(a_deployment(usd_per_hour=6.0)) == 0
    assert calculate_cost_so_far(a_deployment(usd_per_hour=6.0), NOW) == 0


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
