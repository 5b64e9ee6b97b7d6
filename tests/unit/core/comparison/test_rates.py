"""Rates of events and lengths: what counts as an event, and with what an account is compared."""

from __future__ import annotations

import math

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer, ModelAnswers
from orchestrator.core.comparison.interval import estimate_rate_difference
from orchestrator.core.comparison.language.language_checker import LanguageChecker
from orchestrator.core.comparison.measurement import Conclusion, MeasurementKind
from orchestrator.core.comparison.rates import (
    EventShares,
    list_answer_lengths,
    list_event_rates,
    measure_length,
    measure_rate,
)
from orchestrator.core.structs import replace


def answer(outcome: AnswerOutcome = AnswerOutcome.ANSWERED, text: str = "{}") -> ModelAnswer:
    return ModelAnswer(outcome=outcome, text=text)


def list_shares(model: ModelAnswers, kind: MeasurementKind) -> EventShares | None:
    """The shares of the model; None if the event never happened."""
    rates = list_event_rates([model], [kind], LanguageChecker([], {}, []))
    return rates[kind][model.account] if rates else None


def create_model(*rounds: dict[str, ModelAnswer]) -> ModelAnswers:
    return ModelAnswers(account="acme", group="openai gpt", rounds=rounds)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (answer(AnswerOutcome.REFUSED_TEXT, "No."), MeasurementKind.REFUSED),
        (answer(AnswerOutcome.FILTERED_PROMPT, ""), MeasurementKind.FILTERED),
        (answer(AnswerOutcome.FILTERED_ANSWER, ""), MeasurementKind.FILTERED),
        (answer(AnswerOutcome.EMPTY, ""), MeasurementKind.EMPTY),
        (answer(AnswerOutcome.TRUNCATED, "[1]"), MeasurementKind.TRUNCATED),
        (answer(text="[1"), MeasurementKind.INVALID_FORMAT),
        (answer(text="[" * 100_000), MeasurementKind.INVALID_FORMAT),
        (answer(text="[1]"), None),
    ],
)
def test_answer_is_an_event_of_one_kind(given: ModelAnswer, kind: MeasurementKind | None) -> None:
    kinds = [
        MeasurementKind.REFUSED,
        MeasurementKind.FILTERED,
        MeasurementKind.EMPTY,
        MeasurementKind.TRUNCATED,
        MeasurementKind.INVALID_FORMAT,
    ]
    happened = [each for each in kinds if list_shares(create_model({"p": given}), each) == {"p": 1.0}]
    assert happened == ([kind] if kind else [])
    models = [replace(create_model({"p": answer()}), account="other"), create_model({"q": answer(), "p": given})]
    assert list(list_event_rates(models, kinds, LanguageChecker([], {}, []))) == happened


def test_kind_that_is_no_event_is_refused() -> None:
    with pytest.raises(ValueError, match="is not the rate of an event"):
        list_shares(create_model({"p": answer()}), MeasurementKind.LENGTH)


def test_share_is_that_of_the_rounds_with_an_answer() -> None:
    refusal, error = answer(AnswerOutcome.REFUSED_TEXT), answer(AnswerOutcome.ERROR)
    model = create_model(
        {"a": refusal, "b": refusal, "c": error, "d": answer()},
        {"a": answer(), "b": error, "c": error, "d": answer()},
    )
    assert list_shares(model, MeasurementKind.REFUSED) == {"a": 0.5, "b": 1.0, "d": 0.0}


def test_rate_is_compared_with_that_of_all_others_together() -> None:
    shares = {
        "one": {"a": 1.0, "b": 0.5, "c": 0.0, "d": 1.0, "alone": 1.0},
        "two": {"a": 0.0, "b": 0.5, "c": 0.5, "d": 0.5},
        "three": {"a": 0.5, "b": 0.0},
    }
    found = measure_rate(shares, "one", MeasurementKind.REFUSED, margin=0.1, tail=0.05)
    # 3.5 of 5 probes, and 2 of the 6 answered probes of the others
    assert found.interval == estimate_rate_difference(3.5, 5, 2.0, 6, tail=0.05)
    assert [found.own, found.others, found.margin] == pytest.approx([0.7, 1 / 3, 0.1])
    assert (found.kind, found.conclusion) == (MeasurementKind.REFUSED, Conclusion.UNSURE)
    # a: 1 - 0.25, d: 1 - 0.5, b: 0.5 - 0.25; `alone` has no other account
    assert found.probe_ids == ("a", "d", "b")


def test_rate_without_answers_has_no_value_and_no_conclusion() -> None:
    for shares in ({"one": {}, "two": {"a": 1.0}}, {"one": {"a": 1.0}, "two": {}}):
        found = measure_rate(shares, "one", MeasurementKind.EMPTY, margin=0.1, tail=0.05)
        assert (found.own is None, found.others is None) == (not shares["one"], not shares["two"])
        assert (found.interval.low, found.interval.high, found.conclusion) == (-1.0, 1.0, Conclusion.UNSURE)


@pytest.mark.parametrize(
    ("refused", "conclusion"), [(0, Conclusion.SAME), (15, Conclusion.UNSURE), (40, Conclusion.DIFFERENT)]
)
def test_rate_of_a_hundred_probes_decides(refused: int, conclusion: Conclusion) -> None:
    probes = [f"p{number:03}" for number in range(100)]
    shares = {
        "one": {probe: float(number < refused) for number, probe in enumerate(probes)},
        "two": dict.fromkeys(probes, 0.0),
        "three": dict.fromkeys(probes, 0.0),
    }
    found = measure_rate(shares, "one", MeasurementKind.REFUSED, margin=0.1, tail=0.05)
    assert found.conclusion is conclusion
    other = measure_rate(shares, "two", MeasurementKind.REFUSED, margin=0.1, tail=0.05)
    assert other.interval.estimate == pytest.approx(-refused / 200)


def test_length_counts_the_characters_of_texts_without_blanks_around() -> None:
    model = create_model(
        {"a": answer(text=" four "), "b": answer(text="   "), "c": answer(AnswerOutcome.REFUSED_TEXT, "No.")},
        {"a": answer(AnswerOutcome.TRUNCATED, "sixsix"), "b": answer(AnswerOutcome.EMPTY, ""), "d": answer(text="x")},
    )
    assert list_answer_lengths(model) == {"a": 5.0, "d": 1.0}


def test_length_is_compared_with_the_median_of_the_others() -> None:
    lengths = {
        "one": {"a": 20.0, "b": 10.0, "c": 1000.0, "d": 1.0, "alone": 7.0},
        "two": {"a": 10.0, "b": 10.0, "c": 10.0, "d": 100.0},
        "three": {"a": 10.0, "b": 10.0, "c": 10.0, "d": 100.0},
        "four": {"a": 900.0, "b": 10.0, "c": 10.0, "d": 100.0},
    }
    found = measure_length(lengths, "one", tail=0.05)
    # log 2, 0, and cut at e and 1/e: 1 and -1
    assert found.interval.estimate == pytest.approx(math.log(2) / 4)
    assert [found.interval.count, found.margin] == pytest.approx([4, math.log(1.25)])
    assert [found.own, found.others] == pytest.approx([2**0.25, 1.0])
    assert (found.kind, found.probe_ids) == (MeasurementKind.LENGTH, ("c", "a"))


@pytest.mark.parametrize(
    ("factor", "conclusion"),
    [(1.0, Conclusion.SAME), (1.2, Conclusion.SAME), (1.3, Conclusion.DIFFERENT), (0.75, Conclusion.DIFFERENT)],
)
def test_a_quarter_more_length_is_different(factor: float, conclusion: Conclusion) -> None:
    lengths = {"one": {f"p{n}": 100.0 * factor for n in range(40)}, "two": {f"p{n}": 100.0 for n in range(40)}}
    if factor == 1.0:
        lengths["one"]["p0"] = 110.0
    found = measure_length(lengths, "one", tail=0.05)
    assert found.conclusion is conclusion
