"""The pool of comparison: who deviates is removed from it, the most deviating account first, down to two accounts."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from orchestrator.core.comparison.behaviour import BehaviourProfile, measure_behaviour
from orchestrator.core.comparison.measurement import Conclusion, Measurement, MeasurementKind
from orchestrator.core.structs import replace

PROBES = [f"p{number:02}" for number in range(60)]
REFUSED, QUALITY, LENGTH = MeasurementKind.REFUSED, MeasurementKind.QUALITY, MeasurementKind.LENGTH
DIFFERENT = Conclusion.DIFFERENT


def create_profile(refused: Mapping[str, int]) -> BehaviourProfile:
    """Create accounts of which each refuses the first probes, so many as `refused` says."""
    return BehaviourProfile(
        scores={},
        rates={
            REFUSED: {
                account: {probe: float(number < count) for number, probe in enumerate(PROBES)}
                for account, count in refused.items()
            }
        },
        lengths={account: dict.fromkeys(PROBES, 80.0) for account in refused},
        quality_margins=dict.fromkeys(refused, 0.05),
        rate_margin=0.1,
    )


def get_measurement(found: list[Measurement], kind: MeasurementKind) -> Measurement:
    (measurement,) = [each for each in found if each.kind is kind]
    return measurement


def list_others(profile: BehaviourProfile, suspects: set[str]) -> dict[str, float | None]:
    """Return with which rate of refusals each account is compared."""
    found = measure_behaviour(profile, suspects)
    return {account: get_measurement(each, REFUSED).others for account, each in found.items()}


def test_most_deviating_account_is_removed_first_until_nobody_deviates() -> None:
    # Of "a" to "d" nobody is different when "worst" and "bad" are out of the pool.
    profile = create_profile({"a": 0, "bad": 30, "b": 0, "worst": 60, "c": 0, "d": 0})
    found = measure_behaviour(profile, set())
    conclusions = {account: get_measurement(each, REFUSED).conclusion for account, each in found.items()}
    assert [account for account, each in conclusions.items() if each is DIFFERENT] == ["bad", "worst"]
    assert list_others(profile, set()) == dict.fromkeys(profile.lengths, 0.0)


def test_accounts_that_agree_stay_in_the_pool() -> None:
    assert list_others(create_profile({"a": 6, "b": 0, "c": 0}), set()) == {"a": 0.0, "b": 0.05, "c": 0.05}


def test_two_accounts_stay_in_the_pool() -> None:
    # "c" deviates most and is removed. Of "a" and "b" nothing tells which is unusual, so both differ.
    profile = create_profile({"a": 0, "b": 20, "c": 60})
    assert list_others(profile, set()) == {"a": pytest.approx(1 / 3), "b": 0.0, "c": pytest.approx(1 / 6)}
    assert {get_measurement(each, REFUSED).conclusion for each in measure_behaviour(profile, set()).values()} == {
        DIFFERENT
    }


def test_suspects_leave_the_pool_unless_fewer_than_two_accounts_remain() -> None:
    profile = create_profile({"a": 0, "b": 3, "c": 0, "d": 0})
    assert list_others(profile, {"b"})["a"] == 0.0
    assert list_others(profile, {"b", "c"})["a"] == 0.0  # two remain
    assert list_others(profile, {"b", "c", "d"})["a"] == pytest.approx(3 / 180)  # of all others: one is no pool


def test_order_is_rates_quality_length_and_quality_needs_scores() -> None:
    profile = create_profile({"a": 0, "b": 0})
    assert [each.kind for each in measure_behaviour(profile, set())["a"]] == [REFUSED, LENGTH]
    scores = {"a": dict.fromkeys(PROBES, 0.9), "b": dict.fromkeys(PROBES, 0.5)}
    scored = replace(profile, scores=scores, quality_margins={"a": 0.2, "b": 0.6})
    found = measure_behaviour(scored, set())
    assert [each.kind for each in found["a"]] == [REFUSED, QUALITY, LENGTH]
    quality = get_measurement(found["a"], QUALITY)
    assert [quality.own, quality.others, quality.margin] == pytest.approx([0.9, 0.5, 0.2])
    assert (quality.conclusion, quality.probe_ids) == (DIFFERENT, ("p00", "p01", "p02"))
    assert get_measurement(found["b"], QUALITY).conclusion is Conclusion.SAME  # of a wider margin


def test_quality_of_an_account_without_common_probes_is_unknown() -> None:
    profile = replace(create_profile({"a": 0, "b": 0}), scores={"a": {"p00": 0.5}, "b": {"p01": 0.5}})
    quality = get_measurement(measure_behaviour(profile, set())["a"], QUALITY)
    assert (quality.own, quality.others, quality.conclusion) == (None, None, Conclusion.UNSURE)


def test_deviation_is_measured_in_margins() -> None:
    # "short" is 1.4 margins of length away, "refusing" two margins of refusals: it leaves the pool first, and then
    # "short" is compared with "a" alone.
    profile = create_profile({"a": 0, "refusing": 24, "short": 0})
    lengths = {**profile.lengths, "short": dict.fromkeys(PROBES, 50.0)}
    found = measure_behaviour(replace(profile, lengths=lengths), set())
    assert get_measurement(found["short"], REFUSED).others == 0.0
    assert get_measurement(found["a"], REFUSED).others == 0.0
    assert get_measurement(found["refusing"], LENGTH).own == pytest.approx(80 / 65)
