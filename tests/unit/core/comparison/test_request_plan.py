"""The plan of requests: its estimate is an upper bound, limits stop it in time, and nothing is sent twice."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.core.comparison.probe import Probe, ProbeKind
from orchestrator.core.comparison.request_plan import (
    MAX_OUTPUT_TOKENS,
    MIN_OUTPUT_TOKENS,
    MIN_ROUND_GAP_SECONDS,
    REFERENCE_ROUND,
    ComparedModel,
    InferencePrice,
    ProbeRequest,
    RequestLimits,
    RequestPlan,
    SpendingMeter,
    build_request_plan,
    calculate_max_output_tokens,
    estimate_hosting_hours,
    estimate_reference_tokens,
    estimate_tokens,
)
from orchestrator.core.structs import replace

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
        (RequestLimits(max_requests=50), PRICE, None),
        (RequestLimits(max_usd=0.01101), PRICE, None),  # it costs 0.011
        (
            RequestLimits(max_usd=0.01099),
            PRICE,
            "estimated at $0.01100, the limit is $0.01099. Use fewer probes or raise max_usd",
        ),
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


@pytest.mark.parametrize(
    ("probes", "gap", "hours"),
    [
        # 0.75 h until it is ready, and twice as long as asking: 100 probes in two rounds, four at once, 2 s each.
        (100, 300.0, 1.0),  # 0.75 + 2 · 400 s = 0.972
        (150, 300.0, 1.0),  # 0.75 + 2 · 450 s = 1
        (151, 300.0, 1.25),
        (0, 0.0, 0.75),
        (0, 3600.0, 2.75),
    ],
)
def test_hosting_hours_are_estimated_in_quarters_of_an_hour(probes: int, gap: float, hours: float) -> None:
    assert estimate_hosting_hours(probes, gap) == hours


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abc", 1), ("abcd", 2), ("éé", 2), ("日本語", 3)])
def test_tokens_are_estimated_from_bytes(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_limits_are_those_that_the_documentation_promises() -> None:
    assert (MIN_OUTPUT_TOKENS, MAX_OUTPUT_TOKENS, MIN_ROUND_GAP_SECONDS) == (16, 512, 300.0)


def test_operator_chooses_the_maximum() -> None:
    plan = build_request_plan([ComparedModel(name="one", price=PRICE)], create_probes(10), max_output_tokens=77)
    assert (plan.max_output_tokens, plan.estimates[0].output_tokens) == (77, 2 * 10 * 77)
    unscored = [replace(probe, reference=None) for probe in create_probes(3)]
    assert calculate_max_output_tokens([*unscored, *create_probes(1)]) == 30


@pytest.mark.parametrize(
    ("price", "hosting_usd", "usd"), [(PRICE, 1.5, 4.5), (PRICE, None, None), (None, 1.5, None), (None, None, None)]
)
def test_hosting_is_the_price_by_the_hour_and_that_of_the_deployment(
    price: InferencePrice | None, hosting_usd: float | None, usd: float | None
) -> None:
    model = ComparedModel(name="one", price=price, hosting_usd=hosting_usd)
    plan = build_request_plan([model], create_probes(1), hosting_hours=0.5)
    (estimate,) = plan.estimates
    assert estimate.hosting_usd == usd
    assert (estimate.usd is None) == (plan.usd is None) == (usd is None)
    assert (estimate.token_usd is None) == (price is None)


def test_order_depends_on_the_seed() -> None:
    plan = create_plan()
    first, other = (list(replace(plan, seed=seed).iter_requests()) for seed in (0, 1))
    assert first != other
    assert {each.key for each in first} == {each.key for each in other}
    rounds = [[each.probe_id for each in first if each.round == number] for number in (1, 2)]
    assert list(dict.fromkeys(rounds[0])) != list(dict.fromkeys(rounds[1]))
    assert list(dict.fromkeys(rounds[0])) != [f"p{number}" for number in range(10)]


def test_unknown_price_costs_nothing_without_a_limit_and_is_refused_with_one() -> None:
    plan = create_plan(price=None)
    request = next(each for each in plan.iter_requests() if each.model == "one")
    meter = SpendingMeter(plan)
    assert meter.acquire_request(request)
    meter.release_request(request, None, None)
    assert (meter.spent_usd, meter.requests) == (0.0, 1)
    refused = SpendingMeter(replace(plan, limits=RequestLimits(max_usd=100.0)))
    assert not refused.acquire_request(request)
    assert refused.requests == 0


def test_deployments_count_towards_the_limit_which_may_be_reached() -> None:
    plan = create_plan(limits=RequestLimits(max_usd=0.00022 + 0.5))
    request = next(plan.iter_requests())
    assert not SpendingMeter(plan).acquire_request(request, hosting_usd=0.5001)
    assert SpendingMeter(plan).acquire_request(request, hosting_usd=0.5)


@pytest.mark.parametrize(("input_tokens", "output_tokens"), [(None, 1), (100, None)])
def test_incomplete_count_of_tokens_is_billed_in_full(input_tokens: int | None, output_tokens: int | None) -> None:
    meter = SpendingMeter(create_plan())
    request = next(create_plan().iter_requests())
    meter.acquire_request(request)
    meter.release_request(request, input_tokens, output_tokens)
    assert meter.spent_usd == pytest.approx(0.00022)


def test_scored_references_are_one_more_request_each_and_within_the_limit() -> None:
    probes = [*create_probes(9), replace(create_probes(10)[-1], reference=None)]
    plan = build_request_plan([ComparedModel(name="one", price=PRICE, scores_references=True)], probes)
    (one,) = plan.estimates
    more = estimate_reference_tokens(probes[0])
    assert (one.requests, one.input_tokens, one.output_tokens) == (29, 2000 + 9 * (100 + more), 600 + 9)
    usd = (100 + more + 4 * plan.max_output_tokens) / 1e6
    for limit, is_sent in ((usd * 0.999, False), (usd * 1.001, True)):
        limited = replace(plan, limits=RequestLimits(max_usd=limit))
        request = ProbeRequest("one", "p0", REFERENCE_ROUND)
        assert SpendingMeter(limited).acquire_request(request, more_tokens=more) is is_sent
