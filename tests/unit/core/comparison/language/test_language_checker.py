"""An answer is in the wrong language only if both its language and the expected one are known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer, ModelAnswers
from orchestrator.core.comparison.comparator import ComparisonInput, compare_models
from orchestrator.core.comparison.language.language_checker import LanguageChecker
from orchestrator.core.comparison.measurement import MeasurementKind
from orchestrator.core.comparison.verdict import ComparisonVerdict

ENGLISH = "You can return what you have bought, but only after the day that they told you about."
GERMAN = "Sie können das, was Sie gekauft haben, nur nach dem Tag zurückgeben, der Ihnen genannt wurde."
FRENCH = "Vous pouvez rendre ce que vous avez acheté, mais pas avant le jour qui vous a été donné."


def answer(text: str, outcome: AnswerOutcome = AnswerOutcome.ANSWERED) -> ModelAnswer:
    return ModelAnswer(outcome=outcome, text=text, prompt_tokens=20)


def model(name: str, *rounds: Sequence[str]) -> ModelAnswers:
    answers = [{f"p{number}": answer(text) for number, text in enumerate(texts)} for texts in rounds]
    return ModelAnswers(account=name, group="openai gpt", rounds=answers)


def models(*texts: str) -> list[ModelAnswers]:
    return [model(f"account-{number}", [text]) for number, text in enumerate(texts)]


def list_wrong(given: Sequence[ModelAnswers], reference: str | None = None) -> list[bool]:
    checker = LanguageChecker(given, {} if reference is None else {"p0": reference}, ["p0"])
    return [checker.is_wrong("p0", each.rounds[0]["p0"]) for each in given]


def test_reference_decides_where_it_has_a_language() -> None:
    assert list_wrong(models(GERMAN, GERMAN, ENGLISH), ENGLISH) == [True, True, False]


@pytest.mark.parametrize("reference", [None, "42", "positive", '{"total": 3}'])
def test_without_its_language_most_accounts_decide(reference: str | None) -> None:
    assert list_wrong(models(ENGLISH, GERMAN, ENGLISH), reference) == [False, True, False]
    assert list_wrong(models(GERMAN, "Yes.", GERMAN, ENGLISH), reference) == [False, False, False, True]


def test_without_a_majority_no_answer_is_wrong() -> None:
    assert not any(list_wrong(models(ENGLISH, GERMAN)))
    assert not any(list_wrong(models(ENGLISH, ENGLISH, GERMAN, GERMAN)))
    assert not any(list_wrong(models(ENGLISH, "Yes.", "No.")))


def test_account_that_alternates_has_no_vote() -> None:
    given = [model("a", [ENGLISH], [GERMAN]), model("b", [GERMAN], [GERMAN]), model("c", [GERMAN], [GERMAN])]
    assert list_wrong(given) == [True, False, False]
    assert list_wrong(given[:2]) == [False, False]


@pytest.mark.parametrize("text", ["", "42", "Ja.", f"{ENGLISH} {GERMAN}"])
def test_answer_without_a_language_is_not_wrong(text: str) -> None:
    assert list_wrong(models(text, GERMAN), ENGLISH) == [False, True]


@pytest.mark.parametrize("outcome", [AnswerOutcome.REFUSED_TEXT, AnswerOutcome.FILTERED_ANSWER])
def test_only_texts_of_answers_count(outcome: AnswerOutcome) -> None:
    checker = LanguageChecker([], {"p0": ENGLISH}, ["p0"])
    assert not checker.is_wrong("p0", answer(GERMAN, outcome))
    assert checker.is_wrong("p0", answer(GERMAN, AnswerOutcome.TRUNCATED))
    assert not checker.is_wrong("unknown", answer(GERMAN))


def test_equal_models_of_a_dataset_in_several_languages_are_alike() -> None:
    texts = [f"{(ENGLISH, GERMAN, FRENCH)[number % 3]} {number}" for number in range(120)]
    given = ComparisonInput(
        models=[model(f"account-{number}", texts, texts) for number in range(3)],
        references={f"p{number}": text for number, text in enumerate(texts) if number % 4},
        probe_ids=[f"p{number}" for number in range(120)],
    )
    verdicts = compare_models(given).gate.verdicts
    assert {each.verdict for each in verdicts} == {ComparisonVerdict.ALIKE}
    kinds = {one.kind for each in verdicts for one in each.measurements}
    assert MeasurementKind.WRONG_LANGUAGE not in kinds  # a report has no lines of zeros
