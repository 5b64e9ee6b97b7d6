"""Whether an account stands out, in groups of two and of more accounts, at the margins."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator.core.comparison.distances.distance_table import DistanceTable, GroupDistances, ProbeValues
from orchestrator.core.comparison.interval import estimate_mean
from orchestrator.core.comparison.measurement import ComparisonMargins, Conclusion, Measurement, MeasurementKind
from orchestrator.core.comparison.standout import measure_group_distances

SAME, DIFFERENT, UNSURE = Conclusion.SAME, Conclusion.DIFFERENT, Conclusion.UNSURE
PROBES = [f"p{number:02}" for number in range(60)]


def create_table(
    pairs: dict[tuple[str, str], ProbeValues], floors: dict[str, ProbeValues] | None = None
) -> DistanceTable:
    accounts = list(dict.fromkeys(account for pair in pairs for account in pair))
    return DistanceTable(PROBES, accounts, floors=floors or {}, pairs=pairs)


def measure_three(to_others: ProbeValues, among_others: ProbeValues) -> list[Measurement]:
    """Return the measurements of "c", whose distances to "a" and "b" are equal, in distances and in changes."""
    table = create_table({("a", "b"): among_others, ("a", "c"): to_others, ("b", "c"): to_others})
    return measure_group_distances(GroupDistances(table, table, None), ComparisonMargins())["c"]


def measure_two(values: ProbeValues, *floors: ProbeValues) -> Measurement:
    table = create_table({("a", "b"): values}, dict(zip("ab", floors, strict=False)))
    found = measure_group_distances(
        GroupDistances(DistanceTable(PROBES, ["a", "b"]), table, None), ComparisonMargins()
    )
    (one,), (other,) = found["a"], found["b"]
    assert one is other
    return one


def spread(mean: float) -> Sequence[float]:
    """Return values around the mean, half of them 0.02 below and half above: bounds are about 0.004 away."""
    return [mean + (0.02 if number % 2 else -0.02) for number in range(60)]


def test_group_of_one_or_none_is_not_measured() -> None:
    for accounts in ([], ["a"]):
        table = DistanceTable(PROBES, accounts)
        assert measure_group_distances(GroupDistances(table, table, None), ComparisonMargins()) == {}


@pytest.mark.parametrize(
    ("excess", "conclusion", "margin"),
    [
        (-0.2, SAME, 0.10),
        (0.02, SAME, 0.10),
        (0.034, SAME, 0.10),  # the corrected bound is not certainly beyond 0.03
        (0.04, DIFFERENT, 0.03),
        (0.30, DIFFERENT, 0.03),
    ],
)
def test_account_that_is_certainly_farther_away_stands_out(
    excess: float, conclusion: Conclusion, margin: float
) -> None:
    found, *_ = measure_three(spread(0.3 + excess), [0.3] * 60)
    assert (found.kind, found.conclusion, found.margin) == (MeasurementKind.DISTANCE, conclusion, margin)
    assert found.interval.estimate == pytest.approx(excess)
    assert [found.own, found.others] == pytest.approx([0.3 + excess, 0.3])


def test_wide_interval_is_a_doubt() -> None:
    # Excess 1 in four of 60 probes: 0.067, from 0.02 to 0.12.
    found, *_ = measure_three([1.0] * 4 + [0.0] * 56, [0.0] * 60)
    assert (found.conclusion, found.margin) == (UNSURE, 0.10)
    assert found.interval.low < 0.03 < 0.10 < found.interval.high
    assert found.probe_ids == ("p00", "p01", "p02")


def test_lower_bound_is_corrected_for_the_number_of_accounts_and_the_upper_bound_is_not() -> None:
    values = spread(0.04)
    different, *_ = measure_three(values, [0.0] * 60)
    assert different.interval.low == estimate_mean(values, tail=0.05 / 3).low
    alike, *_ = measure_three(spread(0.02), [0.0] * 60)
    assert alike.interval == estimate_mean(spread(0.02), tail=0.05)


def test_distance_of_the_others_is_never_below_zero() -> None:
    # "c" has no answer where "a" and "b" agree, so the excess is larger than its own mean distance.
    table = create_table({
        ("a", "b"): [0.0] * 60,
        ("a", "c"): [0.6] * 30 + [0.0] * 30,
        ("b", "c"): [None] * 30 + [0.0] * 30,
    })  # fmt: skip
    found, *_ = measure_group_distances(GroupDistances(table, table, None), ComparisonMargins())["c"]
    assert found.own == pytest.approx((0.3 + 0.0) / 2)
    assert found.interval.estimate == pytest.approx(0.3)
    assert found.others == 0.0


@pytest.mark.parametrize(
    ("among_others", "excess", "margin", "conclusion"),
    [
        (0.0, 0.10, 0.15, SAME),
        (0.0, 0.16, 0.15, UNSURE),  # a high share is never a difference
        (0.0, 0.90, 0.15, UNSURE),
        (0.4, 0.10, 0.15, SAME),  # a quarter of the 60 % on which the others agree
        (0.6, 0.05, 0.10, SAME),  # a quarter of 40 %
        (0.6, 0.12, 0.10, UNSURE),
        (0.88, 0.00, 0.03, SAME),
    ],
)
def test_margin_of_changed_answers_shrinks_with_what_the_others_agree_on(
    among_others: float, excess: float, margin: float, conclusion: Conclusion
) -> None:
    values = spread(among_others + excess)
    _, found = measure_three(values, [among_others] * 60)
    assert (found.kind, found.conclusion) == (MeasurementKind.CHANGED, conclusion)
    assert found.margin == pytest.approx(margin)
    assert found.interval.estimate == pytest.approx(excess)
    assert len(found.probe_ids) == 3


def test_changed_answers_are_not_measured_where_the_others_agree_on_almost_nothing() -> None:
    assert [each.kind for each in measure_three(spread(0.92), [0.92] * 60)] == [MeasurementKind.DISTANCE]
    assert len(measure_three(spread(0.88), [0.88] * 60)) == 2


@pytest.mark.parametrize(("share", "conclusion"), [(0.38, SAME), (0.42, UNSURE), (0.98, UNSURE)])
def test_two_accounts_are_alike_or_in_doubt(share: float, conclusion: Conclusion) -> None:
    found = measure_two(spread(share))
    assert (found.kind, found.conclusion, found.margin) == (MeasurementKind.PAIR, conclusion, 0.40)
    assert found.interval.estimate == pytest.approx(share)
    assert found.probe_ids == ("p01", "p03", "p05")


def test_serving_noise_of_both_accounts_is_subtracted_from_a_pair() -> None:
    found = measure_two(spread(0.6), [0.2] * 60, [0.4] * 30 + [None] * 30)
    # 0.6 - (0.2 + 0.4) / 2, and 0.6 - (0.2 + 0) / 2
    assert found.interval.estimate == pytest.approx((0.3 + 0.5) / 2)
    assert found.probe_ids == ("p31", "p33", "p35")


def test_probes_without_an_answer_are_left_out() -> None:
    found = measure_two([None] * 20 + [0.5] * 40)
    assert (found.interval.count, found.interval.estimate) == (40, 0.5)


@pytest.mark.parametrize(("margin", "conclusion"), [(0.5, SAME), (0.499, UNSURE)])
def test_pair_at_its_margin_is_alike(margin: float, conclusion: Conclusion) -> None:
    table = create_table({("a", "b"): [0.5] * 60})
    found = measure_group_distances(GroupDistances(table, table, None), ComparisonMargins(pair=margin))
    assert found["a"][0].conclusion is conclusion


@pytest.mark.parametrize(
    ("margins", "conclusions"),
    [
        (ComparisonMargins(distance=0.25, standout=0.25, changed=0.25), [SAME, SAME]),
        (ComparisonMargins(distance=0.249, standout=0.25, changed=0.249), [UNSURE, UNSURE]),
        (ComparisonMargins(distance=0.25, standout=0.249, changed=0.25), [DIFFERENT, SAME]),
    ],
)
def test_excess_at_its_margin_is_alike(margins: ComparisonMargins, conclusions: list[Conclusion]) -> None:
    table = create_table({("a", "b"): [0.0] * 60, ("a", "c"): [0.25] * 60, ("b", "c"): [0.25] * 60})
    found = measure_group_distances(GroupDistances(table, table, None), margins)["c"]
    assert [each.conclusion for each in found] == conclusions
