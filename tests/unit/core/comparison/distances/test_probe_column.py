"""Distances of the answers to one probe, and what counts as a changed answer."""

from __future__ import annotations

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer
from orchestrator.core.comparison.distances.distance import DistanceMeasure
from orchestrator.core.comparison.distances.distance_table import (
    DistanceTable,
    list_own_distances,
    list_probe_excess,
    mean_known,
)
from orchestrator.core.comparison.distances.probe_column import ProbeColumn, ProbeDistance

YES, NO = (ModelAnswer(outcome=AnswerOutcome.ANSWERED, text=text) for text in ("yes", "no"))
ERROR = ModelAnswer(outcome=AnswerOutcome.ERROR)
REFUSALS = [ModelAnswer(outcome=AnswerOutcome.REFUSED_TEXT, text=text) for text in ("No.", "Never.")]
UNKNOWN = ProbeDistance(None, None, 0.0)


def create_column(*models: list[ModelAnswer | None], base: ModelAnswer | None = None) -> ProbeColumn:
    return ProbeColumn(models, base, DistanceMeasure.EXACT)


def test_distance_is_the_mean_over_the_pairs_of_rounds() -> None:
    column = create_column([YES, NO], [YES, YES], [NO, NO], base=NO)
    assert column.measure_pair(0, 1) == (0.5, 0.5, 2.0)
    assert column.measure_pair(1, 2) == (1.0, 1.0, 4.0)
    assert column.measure_pair(2, 1) == (1.0, 1.0, 4.0)
    assert [column.measure_floor(model).mean for model in range(3)] == [1.0, 0.0, 0.0]
    assert [column.measure_base(model).mean for model in range(3)] == [0.5, 1.0, 0.0]


def test_missing_answers_and_errors_are_left_out() -> None:
    column = create_column([None, YES], [ERROR, NO], [ERROR, ERROR], [None, None])
    assert column.measure_pair(0, 1) == (1.0, 1.0, 1.0)
    assert column.measure_pair(0, 2) == column.measure_pair(0, 3) == UNKNOWN
    assert column.measure_floor(0) == column.measure_floor(1) == UNKNOWN
    assert column.measure_base(0) == UNKNOWN


def test_texts_count_without_blanks_around_and_refusals_without_their_text() -> None:
    blank = ModelAnswer(outcome=AnswerOutcome.TRUNCATED, text=" yes\n")
    column = create_column([YES], [blank], [REFUSALS[0]], [REFUSALS[1]])
    assert [column.measure_pair(0, other).mean for other in (1, 2, 3)] == [0.0, 1.0, 1.0]
    assert column.measure_pair(2, 3).mean == 0.0


@pytest.mark.parametrize(("leaves", "changed"), [(9, 1.0), (10, 0.0), (11, 0.0)])
def test_distance_beyond_a_tenth_is_a_changed_answer(leaves: int, changed: float) -> None:
    one, other = (
        ModelAnswer(outcome=AnswerOutcome.ANSWERED, text=str([first, *range(1, leaves)])) for first in (0, 99)
    )
    found = ProbeColumn([[one], [other]], None, DistanceMeasure.FIELD).measure_pair(0, 1)
    assert list(found) == pytest.approx([1 / leaves, changed, 1 / leaves**2])


def test_excess_is_the_distance_to_the_others_minus_theirs() -> None:
    table = DistanceTable(
        ["p", "q", "r", "s"],
        ["a", "b", "c"],
        pairs={
            ("a", "b"): [0.1, None, 0.5, None],
            ("a", "c"): [0.6, 0.4, None, None],
            ("b", "c"): [0.8, 0.2, None, 0.3],
        },
    )
    excess = list_probe_excess(table)
    assert excess["c"] == [pytest.approx(0.7 - 0.1), None, None, None]
    assert excess["a"] == [pytest.approx(0.35 - 0.8), pytest.approx(0.4 - 0.2), None, None]
    assert excess["b"] == [pytest.approx(0.45 - 0.6), pytest.approx(0.2 - 0.4), None, None]
    own = list_own_distances(table)
    assert own["a"] == pytest.approx((0.3 + 0.5) / 2)
    assert own["c"] == pytest.approx((0.5 + 1.3 / 3) / 2)
    assert table.get_pair("c", "a") is table.get_pair("a", "c")


def test_table_without_values_has_no_noise() -> None:
    table = DistanceTable(["p"], [])
    assert (table.calculate_floor(), table.calculate_spread(), table.calculate_ceiling()) == (0.0, 0.0, None)
    assert (mean_known([None, None]), mean_known([None, 0.5, 0.25])) == (0.0, 0.375)
