"""The test for a change on few short answers, whose p-values can be counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome, AnswerRound, ModelAnswer
from orchestrator.core.comparison.distances.distance import DistanceMeasure
from orchestrator.core.comparison.distances.drift import (
    DriftConclusion,
    DriftMeasurement,
    list_rejected,
    measure_drift,
)

CHANGED, UNCHANGED = DriftConclusion.CHANGED, DriftConclusion.NO_CHANGE_FOUND
TOO_FEW = DriftConclusion.TOO_FEW_PROBES


def answer(text: str) -> ModelAnswer:
    return ModelAnswer(outcome=AnswerOutcome.ANSWERED if text else AnswerOutcome.ERROR, text=text)


def create_rounds(*texts: str, probes: int) -> list[AnswerRound]:
    """Return rounds of which each has one text as its answer to all probes."""
    return [{f"p{number:02}": answer(text) for number in range(probes)} for text in texts]


def measure(old: Sequence[str], new: Sequence[str], probes: int) -> DriftMeasurement:
    """Measure a model that answers all probes in the same way. Labels are equal, or their distance is 1."""
    (found,) = measure_drift(
        {"a": create_rounds(*old, probes=probes)},
        {"a": create_rounds(*new, probes=probes)},
        [f"p{number:02}" for number in range(probes)],
        DistanceMeasure.EXACT,
    )
    return found


@pytest.mark.parametrize(
    ("old", "new", "distance"),
    [
        (["yes", "yes"], ["no", "no"], 2.0),  # 2 · 1 - 0 - 0
        (["yes", "no"], ["yes", "no"], -1.0),  # 2 · 1/2 - 1 - 1
        (["yes", "yes"], ["yes", "no"], 0.0),  # 2 · 1/2 - 0 - 1
        (["yes", "yes"], ["yes", "yes"], 0.0),
        (["yes"], ["no", "no"], 2.0),
        (["yes", ""], ["no", "no", "yes"], 2 * 2 / 3 - 2 / 3),
    ],
)
def test_energy_distance(old: list[str], new: list[str], distance: float) -> None:
    assert measure(old, new, 5).distance == pytest.approx(distance)


@pytest.mark.parametrize(
    ("probes", "conclusion"),
    # Two of six exchanges of four answers are as far apart: with n probes, a share of 1/3 to the power of n.
    [(1, TOO_FEW), (4, TOO_FEW), (5, CHANGED), (20, CHANGED)],
)
def test_five_probes_are_enough_if_every_answer_changed(probes: int, conclusion: DriftConclusion) -> None:
    found = measure(["yes", "yes"], ["no", "no"], probes)
    assert (found.conclusion, found.probes) == (conclusion, probes)
    assert found.probe_ids == ("p00", "p01", "p02")[:probes]


def test_p_value_is_the_share_of_exchanges_that_are_as_far_apart() -> None:
    for probes in (1, 2, 5):
        assert measure(["yes", "yes"], ["no", "no"], probes).p_value == pytest.approx(3**-probes)
    assert measure(["yes", "yes"], ["no", "no"], 30).p_value == pytest.approx(1 / 1001)  # drawn: none is as far apart
    # All four exchanges that put "yes" and "no" on both sides are nearest, so every exchange is as far apart.
    assert measure(["yes", "no"], ["yes", "no"], 3).p_value == 1.0
    assert measure(["yes", "yes"], ["yes", "yes"], 3).p_value == 1.0


def test_small_distances_count_as_well() -> None:
    # One of four fields changed: two of six exchanges have an energy of 2 / 4, the others of -1 / 4.
    old, new = ([answer(text)] * 2 for text in ("[1, 2, 3, 4]", "[1, 2, 3, 5]"))
    rounds = [[{"p": each} for each in side] for side in (old, new)]
    (found,) = measure_drift({"a": rounds[0]}, {"a": rounds[1]}, ["p"], DistanceMeasure.FIELD)
    assert [found.distance, found.p_value] == pytest.approx([0.5, 1 / 3])


@pytest.mark.parametrize(("probes", "conclusion"), [(4, TOO_FEW), (5, UNCHANGED)])
def test_equal_answers_of_enough_probes_are_no_change(probes: int, conclusion: DriftConclusion) -> None:
    assert measure(["yes", "yes"], ["yes", "yes"], probes).conclusion is conclusion


def test_more_accounts_need_more_probes() -> None:
    accounts = [f"account-{number}" for number in range(3)]  # 1/3⁵ is below 1 %, and not below a third of that
    for probes, conclusion in ((5, TOO_FEW), (6, UNCHANGED)):
        rounds = dict.fromkeys(accounts, create_rounds("yes", "yes", probes=probes))
        found = measure_drift(rounds, rounds, [f"p{number:02}" for number in range(probes)], DistanceMeasure.EXACT)
        assert {each.conclusion for each in found} == {conclusion}


@pytest.mark.parametrize(
    ("old", "new", "probes"),
    [
        (["yes"], ["yes"], 0),  # two answers have one exchange, which proves nothing
        (["yes", "yes"], ["yes"], 3),
        (["yes"], ["yes", "yes"], 3),
        (["yes", ""], ["no", ""], 0),
        (["", ""], ["no", "no"], 0),
        (["yes", "yes", "yes"], ["", ""], 0),
    ],
)
def test_probe_counts_with_an_answer_on_both_sides_and_three_together(
    old: list[str], new: list[str], probes: int
) -> None:
    found = measure(old, new, 3)
    assert (found.probes, found.distance) == (probes, 0.0)


def test_many_rounds_draw_some_of_the_exchanges() -> None:
    # 12 answers have 924 exchanges, of which 300 are drawn.
    assert measure(["yes"] * 6, ["no"] * 6, 3).conclusion is CHANGED
    assert measure(["yes", "no"] * 3, ["yes", "no"] * 3, 3).conclusion is UNCHANGED


def test_probes_that_changed_most_are_named() -> None:
    old = create_rounds("yes", "yes", probes=6)
    new = [{**each, "p04": answer("no"), "p05": answer("no" if number else "yes")} for number, each in enumerate(old)]
    (found,) = measure_drift({"a": old}, {"a": new}, list(old[0]), DistanceMeasure.EXACT)
    assert found.probe_ids == ("p04",)  # the distance at p05 is 0
    assert found.distance == pytest.approx(2 / 6)


def test_no_account_is_no_error() -> None:
    assert measure_drift({}, {"a": []}, ["p"], DistanceMeasure.EXACT) == []
    assert list_rejected({"a": 0.01}, 0.01) == {"a"}
    assert list_rejected({"a": 0.005, "b": 0.01}, 0.01) == {"a", "b"}
    assert list_rejected({"a": 0.0051, "b": 0.001}, 0.01) == {"a", "b"}
    assert list_rejected({"a": 0.0051, "b": 0.0051}, 0.01) == set()
