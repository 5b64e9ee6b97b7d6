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
