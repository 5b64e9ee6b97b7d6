"""Distances of answers: symmetric, in 0 to 1, and sensitive to what matters in each kind of answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer
from orchestrator.core.comparison.distances.distance import DistanceMeasure, DistanceMeter, choose_measure

TEXT, FIELD, EXACT = (
    DistanceMeter(each) for each in (DistanceMeasure.TEXT, DistanceMeasure.FIELD, DistanceMeasure.EXACT)
)


@pytest.mark.parametrize(
    ("references", "measure"),
    [
        (["yes", "no", "not sure"], DistanceMeasure.EXACT),
        (['{"a": 1}', "[1]"], DistanceMeasure.FIELD),
        (["The sky is blue today.", "yes"], DistanceMeasure.TEXT),
        (["1", "2"], DistanceMeasure.EXACT),
        ([], DistanceMeasure.TEXT),
        (['{"a": 1}'] * 19 + ["I do not know that."], DistanceMeasure.FIELD),
        (['{"a": 1}'] * 9 + ["I do not know that."], DistanceMeasure.FIELD),  # nine of ten are enough
        (['{"a": 1}'] * 8 + ["I do not know that."] * 2, DistanceMeasure.TEXT),
        (["no idea yet"] * 9 + ["that is not known"], DistanceMeasure.EXACT),
        (["that is not known"], DistanceMeasure.TEXT),  # a label has three words at most
        (['"a quoted label of more words"'], DistanceMeasure.TEXT),
    ],
)
def test_measure_suits_the_references(references: list[str], measure: DistanceMeasure) -> None:
    assert choose_measure(references) is measure


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(list(DistanceMeasure)))
def test_distance_is_symmetric_and_zero_only_for_equal_texts(one: str, other: str, measure: DistanceMeasure) -> None:
    meter = DistanceMeter(measure)
    distance = meter.measure_texts(one, other)
    assert 0 <= distance <= 1
    assert distance == meter.measure_texts(other, one)
    assert meter.measure_texts(one, one) == 0


def test_text_distance_grows_with_the_changed_part() -> None:
    text = "the quick brown fox jumps over the lazy dog"
    little, much = text.replace("dog", "cat"), "an entirely unrelated sentence, with nothing in common"
    assert 0 < TEXT.measure_texts(text, little) < 0.2 < 0.8 < TEXT.measure_texts(text, much)
    assert TEXT.measure_texts("a", "b") == 1


def test_field_distance_is_the_share_of_differing_leaves() -> None:
    assert FIELD.measure_texts('{"a": 1, "b": [1, 2]}', '{"b": [1, 3], "a": 1}') == pytest.approx(1 / 3)
    assert FIELD.measure_texts('{"a": 1}', '{ "a":1 }') == 0
    assert FIELD.measure_texts('{"a": 1}', '{"a": true}') == 1
    assert FIELD.measure_texts("[]", "{}") == 1
    assert FIELD.measure_texts('{"a": 1}', "no JSON") == 1
    assert 0 < FIELD.measure_texts("no JSON at all", "no JSON at most") < 1


def test_deeply_nested_document_is_no_crash() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert FIELD.measure_texts(deep, "[1]") == 1
    assert FIELD.measure_texts("[" * 500 + "1" + "]" * 500, "[" * 500 + "2" + "]" * 500) == 1


def test_labels_are_equal_or_not() -> None:
    assert EXACT.measure_texts("true", "untrue") == 1


def test_outcomes_count_before_texts() -> None:
    answer = ModelAnswer(outcome=AnswerOutcome.ANSWERED, text=" I cannot. ")
    truncated = ModelAnswer(outcome=AnswerOutcome.TRUNCATED, text="I cannot.")
    refusals = [ModelAnswer(outcome=AnswerOutcome.REFUSED_TEXT, text=text) for text in ("I cannot.", "No.")]
    error = ModelAnswer(outcome=AnswerOutcome.ERROR)
    assert TEXT.measure_answers(answer, truncated) == 0
    assert TEXT.measure_answers(answer, refusals[0]) == 1
    assert TEXT.measure_answers(*refusals) == 0
    assert TEXT.measure_answers(answer, error) is None
