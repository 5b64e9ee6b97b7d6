"""The plan of requests: its estimate is an upper bound, limits stop it in time, and nothing is sent twice."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.core.comparison.probe import Probe, ProbeKind
from orchestrator.core.comparison.request_plan import (
    ComparedModel,
    InferencePrice,
    RequestLimits,
    RequestPlan,
    SpendingMeter,
    build_request_plan,
    calculate_max_output_tokens,
)

PRICE = InferencePrice(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=4.0, usd_per_hour=6.0)


def create_probes(count: int, reference: str = "x" * 60) -> list[Probe]:
    return [
        Probe(
            probe_id=f"p{number}",
            prompt_id=f"q{number}",
            kind=ProbeKind.HELD_OUT,
            messages="m" * 276,  # 92 tokens, and 8 of its frame
            reference=reference,
            stratum=(False, 1, 1),
        )
        for number in range(count)
    ]


def create_plan(
    *, limits: RequestLimits | None = None, price: InferencePrice | None = PRICE, hours: float = 0.0
) -> RequestPlan:
    models = [
        ComparedModel(name="one", price=price),
        ComparedModel(name="two", price=PRICE),
        ComparedModel(name="base", price=PRICE, rounds=1),
    ]
    return build_request_plan(models, create_probes(10), limits=limits, hosting_hours=hours)


def test_estimate_counts_requests_tokens_and_hosting() -> None:
    plan = create_plan(hours=0.5)
    one, _, base = plan.estimates
    assert (plan.requests, plan.max_output_tokens) == (50, 30)
    assert (one.requests, one.input_tokens, one.output_tokens) == (20, 2000, 600)
    assert (base.requests, base.input_tokens) == (10, 1000)
    assert one.token_usd == pytest.approx((2000 + 4 * 600) / 1e6)
    assert one.hosting_usd == 3.0
    assert one.token_usd is not None
    assert plan.usd == pytest.approx(2.5 * one.token_usd + 9.0)


@pytest.mark.parametrize(("characters", "tokens"), [(3, 16), (60, 30), (9000, 512)])
def test_maximum_follows_the_references(characters: int, tokens: int) -> None:
    assert calculate_max_output_tokens(create_probes(20, "x" * characters)) == tokens


def test_maximum_ignores_the_longest_references() -> None:
    assert calculate_max_output_tokens(create_probes(95) + create_probes(5, "x" * 9000)) == 30
    assert calculate_max_output_tokens([]) == 512


def test_order_is_fixed_and_mixes_the_models() -> None:
    requests = list(create_plan().iter_requests())
    assert requests == list(create_plan().iter_requests())
    assert len({request.key for request in requests}) == len(requests) == 50
    assert [request.round for request in requests] == [1] * 30 + [2] * 20
    firsts = {group[0].model for group in zip(*[iter(requests[:30])] * 3, strict=True)}
    assert firsts == {"one", "two", "base"}


def test_continued_comparison_sends_only_what_is_missing_in_the_same_order() -> None:
    plan = create_plan()
    requests = list(plan.iter_requests())
    answered = frozenset(request.key for request in requests[:17])
    assert list(plan.iter_requests(answered)) == requests[17:]


@pytest.mark.parametrize(
    ("limits", "price", "text"),
    [
        (RequestLimits(), None, None),
        (RequestLimits(max_usd=1.0), PRICE, None),
        (RequestLimits(max_usd=0.001), PRICE, "raise max_usd"),
        (RequestLimits(max_usd=1.0), None, "price of one is unknown"),
        (RequestLimits(max_requests=49), PRICE, "needs 50 requests, the limit is 49"),
    ],
)
def test_plan_beyond_a_limit_is_not_executed(
    limits: RequestLimits, price: InferencePrice | None, text: str | None
) -> None:
    obstacle = create_plan(limits=limits, price=price).find_obstacle()
    assert (text is None) == (obstacle is None)
    assert text is None or text in str(obstacle)


def test_estimate_is_never_below_what_the_meter_counts() -> None:
    plan = create_plan()
    meter = SpendingMeter(plan)
    for request in plan.iter_requests():
        assert meter.acquire_request(request)
        meter.release_request(request, 100, 30)
    assert plan.usd is not None
    assert meter.spent_usd == pytest.approx(plan.usd)
    assert meter.requests == plan.requests


def test_concurrent_requests_count_with_their_highest_price() -> None:
    plan = create_plan(limits=RequestLimits(max_usd=0.0008))  # a request costs at most 0.00022
    meter, requests = SpendingMeter(plan), list(plan.iter_requests())
    assert [meter.acquire_request(request) for request in requests[:4]] == [True, True, True, False]
    meter.release_request(requests[0], 100, 1)  # cheaper than reserved
    assert meter.acquire_request(requests[3])
    for request in requests[1:4]:
        meter.release_request(request, None, None)  # without an answer: counted in full
    assert meter.spent_usd == pytest.approx(0.000104 + 3 * 0.00022)
    assert not meter.acquire_request(requests[4])


def test_meter_continues_after_an_interruption() -> None:
    plan = create_plan(limits=RequestLimits(max_usd=1.0, max_requests=50))
    meter = SpendingMeter(plan, spent_usd=0.9999, requests=10)
    assert not meter.acquire_request(next(plan.iter_requests()))
    meter = SpendingMeter(plan, requests=48)
    answers = [meter.acquire_request(each) for each in itertools.islice(plan.iter_requests(), 3)]
    assert answers == [True, True, False]
