"""Scores of answers against their references."""

from __future__ import annotations

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer
from orchestrator.core.comparison.quality import AnswerScorer, ScoringMethod, list_score_differences


@pytest.mark.parametrize(
    ("method", "text", "reference", "score"),
    [
        (ScoringMethod.EXACT, " yes\n", "yes", 1),
        (ScoringMethod.EXACT, "Yes", "yes", 0),
        (ScoringMethod.CONTAINS, "The answer is Paris.", "paris", 1),
        (ScoringMethod.CONTAINS, "The answer is Rome.", "paris", 0),
        (ScoringMethod.NUMBER, "2 + 2 = 4.0", "4", 1),
        (ScoringMethod.NUMBER, "It costs 1,250 euros", "1250", 1),
        (ScoringMethod.NUMBER, "about 1e3", "1000", 1),
        (ScoringMethod.NUMBER, "-3", "3", 0),
        (ScoringMethod.NUMBER, "none", "3", 0),
        (ScoringMethod.JSON, '{"b": 1, "a": [2]}', '{"a":[2],"b":1}', 1),
        (ScoringMethod.JSON, '{"a":[2],"b":1}', '{"b": 1, "a": [2]}', 1),
        (ScoringMethod.JSON, '{"a": 1}', '{"a": true}', 0),
        (ScoringMethod.JSON, "no", '{"a": true}', 0),
        (ScoringMethod.TEXT, "same text", "same text", 1),
    ],
)
def test_answer_is_scored_by_the_method(method: ScoringMethod, text: str, reference: str, score: float) -> None:
    answer = ModelAnswer(outcome=AnswerOutcome.ANSWERED, text=text)
    assert AnswerScorer(method).score_answer(answer, reference) == score


def test_refusal_scores_zero_and_an_error_has_no_score() -> None:
    scorer = AnswerScorer(ScoringMethod.EXACT)
    assert scorer.score_answer(ModelAnswer(outcome=AnswerOutcome.FILTERED_PROMPT), "yes") == 0
    assert scorer.score_answer(ModelAnswer(outcome=AnswerOutcome.ERROR), "yes") is None


def test_score_is_the_mean_over_rounds_without_errors() -> None:
    yes, no, error = (
        ModelAnswer(outcome=AnswerOutcome.ANSWERED, text="yes"),
        ModelAnswer(outcome=AnswerOutcome.ANSWERED, text="no"),
        ModelAnswer(outcome=AnswerOutcome.ERROR),
    )
    rounds = [{"a": yes, "b": yes, "c": error}, {"a": no, "b": error, "c": error}]
    scores = AnswerScorer(ScoringMethod.EXACT).score_rounds(rounds, dict.fromkeys("abcd", "yes"))
    assert scores == {"a": 0.5, "b": 1.0}


def test_difference_is_paired_with_the_mean_of_the_others() -> None:
    scores = {"one": {"a": 1.0, "b": 0.0, "c": 1.0}, "two": {"a": 0.0, "b": 0.0}, "three": {"a": 0.5, "b": 1.0}}
    assert list_score_differences(scores, "one") == {"a": 0.75, "b": -0.5}


@pytest.mark.parametrize(
    ("outcome", "score"),
    [
        (AnswerOutcome.ANSWERED, 1.0),
        (AnswerOutcome.TRUNCATED, 1.0),
        (AnswerOutcome.REFUSED_TEXT, 0.0),
        (AnswerOutcome.FILTERED_PROMPT, 0.0),
        (AnswerOutcome.FILTERED_ANSWER, 0.0),
        (AnswerOutcome.EMPTY, 0.0),
        (AnswerOutcome.ERROR, None),
    ],
)
def test_only_texts_score(outcome: AnswerOutcome, score: float | None) -> None:
    assert AnswerScorer(ScoringMethod.EXACT).score_answer(ModelAnswer(outcome=outcome, text="yes"), " yes ") == score


@pytest.mark.parametrize(
    ("text", "reference", "score"),
    [
        ("1000001", "1000000", 1),  # a millionth is the tolerance
        ("1000003", "1000000", 0),
        ("0.0000005", "0", 1),
        ("0.000002", "0", 0),
        ("first 3, then 4", "4", 1),  # the last number counts
        ("first 4, then 3", "4", 0),
        ("7", "6 of 7", 1),
        (".5", "0.50", 1),
        ("7", "seven", 0),
    ],
)
def test_numbers_are_equal_to_a_millionth(text: str, reference: str, score: float) -> None:
    answer = ModelAnswer(outcome=AnswerOutcome.ANSWERED, text=text)
    assert AnswerScorer(ScoringMethod.NUMBER).score_answer(answer, reference) == score


def test_text_score_is_the_share_of_equal_trigrams() -> None:
    # "abc" and "abd" have five trigrams each, with two marks at both ends, of which "\0\0a" and "\0ab" are equal.
    answer = ModelAnswer(outcome=AnswerOutcome.ANSWERED, text=" abd\n")
    assert AnswerScorer(ScoringMethod.TEXT).score_answer(answer, "abc") == pytest.approx(0.4)
    deep = ModelAnswer(outcome=AnswerOutcome.ANSWERED, text="[" * 100_000)
    assert AnswerScorer(ScoringMethod.JSON).score_answer(deep, "[]") == 0


def test_account_without_a_common_probe_has_no_difference() -> None:
    assert list_score_differences({"one": {"a": 1.0}, "two": {"b": 1.0}}, "one") == {}
