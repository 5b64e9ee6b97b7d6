"""The tokens of a reference answer are found in an echoed prompt, or have no value."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from comparison_worlds import World, create_input

from orchestrator.core.comparison.comparator import ComparisonInput, compare_models
from orchestrator.core.comparison.measurement import Conclusion, Measurement, MeasurementKind
from orchestrator.core.comparison.reference_loss import EchoedToken, calculate_reference_logprob
from orchestrator.core.comparison.verdict import AccountVerdict, ComparisonVerdict
from orchestrator.core.structs import replace

PROMPT = ["<bos>", "<user>", "Is it", " late", "?", "<eot>", "<assistant>", "\n\n"]
ANSWER = ["It", " is", " not", "."]


def tokens(*texts: str) -> list[EchoedToken]:
    return [EchoedToken(text, -float(number) if number else None) for number, text in enumerate(texts)]


def score(*texts: str, prompt_tokens: int = len(PROMPT)) -> float | None:
    return calculate_reference_logprob(tokens(*texts), "It is not.\n", prompt_tokens)


@pytest.mark.parametrize("end", [[], ["<eot>"], ["<eot>", "<assistant>", "\n\n"]])
def test_answer_between_the_prompt_and_the_end_of_the_template(end: Sequence[str]) -> None:
    assert score(*PROMPT, *ANSWER, *end) == -9.5


def test_white_space_of_the_template_before_the_answer_belongs_to_its_first_token() -> None:
    assert score(*PROMPT, " It", *ANSWER[1:]) == -9.5


@pytest.mark.parametrize(
    "texts",
    [
        [],
        PROMPT,
        [*PROMPT[:-1], "\n\nIt", *ANSWER[1:]],  # a token reaches over the beginning
        [*PROMPT, *ANSWER[:-1], ".<eot>"],  # and over the end
        [*PROMPT, "<think>", *ANSWER],
        [*PROMPT, "system", *ANSWER],
        [*PROMPT[1:], *ANSWER],  # without the first token
        [*PROMPT, "It", " is", " n\ufffd", "t."],  # half a character
        [*PROMPT, *ANSWER[:-1]],
    ],
)
def test_answer_whose_tokens_are_not_certain_has_no_value(texts: Sequence[str]) -> None:
    assert score(*texts) is None


def test_missing_log_probability_is_no_value() -> None:
    given = tokens(*PROMPT, *ANSWER)
    for value in (None, float("nan"), float("-inf")):
        given[-2] = replace(given[-2], logprob=value)
        assert calculate_reference_logprob(given, "It is not.", len(PROMPT)) is None


def create_scored_input(
    seed: int, *, accounts: int = 3, probes: int = 120, lower: float = 0.0, missing: int = 0
) -> ComparisonInput:
    """Give every account its log-probabilities; the last one's are lower, and `missing` of them are unknown."""
    given = create_input(World(seed=seed, accounts=accounts, probes=probes, variation=0.05))
    models = []
    for number, model in enumerate(given.models):
        is_last = number == accounts - 1
        values = {
            probe_id: -1.0 - position % 7 / 10 + (position * (number + 3) % 11 - 5) / 200 - lower * is_last
            for position, probe_id in enumerate(given.probe_ids[missing if is_last else 0 :])
        }
        models.append(replace(model, reference_logprobs=values))
    return replace(given, models=models)


def find_measurement(verdict: AccountVerdict) -> Measurement | None:
    return next((each for each in verdict.measurements if each.kind is MeasurementKind.LIKELIHOOD), None)


def test_equal_models_have_the_same_likelihood() -> None:
    for verdict in compare_models(create_scored_input(1)).gate.verdicts:
        measured = find_measurement(verdict)
        assert measured is not None
        assert measured.conclusion is Conclusion.SAME
        assert verdict.verdict is ComparisonVerdict.ALIKE


def test_model_that_finds_the_references_less_likely_is_different() -> None:
    *others, last = compare_models(create_scored_input(1, lower=0.2)).gate.verdicts
    measured = find_measurement(last)
    assert measured is not None
    assert (last.verdict, measured.conclusion) == (ComparisonVerdict.DIFFERENT, Conclusion.DIFFERENT)
    assert measured.interval.estimate == pytest.approx(-0.2, abs=0.02)
    assert len(measured.probe_ids) == 3
    assert last.reasons[0] == "gives the reference answers a log-probability of -1.50 per token, the others -1.30"
    assert {each.verdict for each in others} == {ComparisonVerdict.ALIKE}


@pytest.mark.parametrize("missing", [91, 120])
def test_measure_is_not_used_where_an_account_has_too_few_values(missing: int) -> None:
    verdicts = compare_models(create_scored_input(1, lower=0.5, missing=missing)).gate.verdicts
    assert [find_measurement(each) for each in verdicts] == [None] * 3
    assert ComparisonVerdict.DIFFERENT not in {each.verdict for each in verdicts}


def test_only_probes_of_all_accounts_count() -> None:
    for verdict in compare_models(create_scored_input(1, missing=60)).gate.verdicts:
        measured = find_measurement(verdict)
        assert measured is not None
        assert measured.interval.count == 60
