"""The change of one model over time: unchanged models are not called changed, changed ones are found."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome, AnswerRound, ModelAnswer
from orchestrator.core.comparison.distances.distance import DistanceMeasure
from orchestrator.core.comparison.distances.drift import DRIFT_LEVEL, DriftConclusion, list_rejected, measure_drift

CHANGED, UNCHANGED = DriftConclusion.CHANGED, DriftConclusion.NO_CHANGE_FOUND
PROBES = [f"p{number:03}" for number in range(60)]
Rounds = Sequence[AnswerRound]


def answer(text: str, outcome: AnswerOutcome = AnswerOutcome.ANSWERED) -> ModelAnswer:
    return ModelAnswer(outcome=outcome, text=text)


def ask(name: str, seed: object, *, rounds: int = 2, noise: float = 0.1, changed: int = 0) -> Rounds:
    """Ask a model: at near ties each call gives one of two answers. The first `changed` probes have other answers."""
    truth, calls = random.Random(name), random.Random(f"{name} {seed}")
    ties = {probe_id for probe_id in PROBES if truth.random() < noise}
    return [
        {
            probe_id: answer(
                f"{name} answers {'newly' if number < changed else 'as ever'} to {probe_id}"
                + (", or in another manner" if probe_id in ties and calls.random() < 0.5 else "")
            )
            for number, probe_id in enumerate(PROBES)
        }
        for _ in range(rounds)
    ]


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5, 1.0])
def test_unchanged_models_are_not_called_changed(noise: float) -> None:
    accounts = [f"account-{number}" for number in range(40)]
    old, new = ({name: ask(name, seed, noise=noise) for name in accounts} for seed in ("then", "now"))
    found = measure_drift(old, new, PROBES, DistanceMeasure.TEXT)
    assert [each.account for each in found] == accounts
    assert {each.conclusion for each in found} == {UNCHANGED}
    if noise == 1.0:  # p-values of equal models are evenly distributed, or higher
        assert fmean(each.p_value for each in found) > 0.35


@pytest.mark.parametrize(("accounts", "changed"), [(1, 6), (10, 9), (100, 14)])
def test_changed_model_is_found_among_unchanged_ones(accounts: int, changed: int) -> None:
    names = [f"account-{number}" for number in range(accounts)]
    old = {name: ask(name, "then") for name in names}
    new = {name: ask(name, "now", changed=changed if name == names[0] else 0) for name in names}
    first, *others = measure_drift(old, new, PROBES, DistanceMeasure.TEXT)
    assert first.conclusion is CHANGED
    assert first.p_value <= DRIFT_LEVEL / accounts
    assert first.distance > 0
    assert len(first.probe_ids) == 3
    assert set(first.probe_ids) & set(PROBES[:changed])  # a near tie may show it as well
    assert {each.conclusion for each in others} <= {UNCHANGED}


def test_more_noise_is_a_change_too_if_answers_are_many() -> None:
    old = {"a": ask("a", "then", rounds=5, noise=0.0)}
    new = {"a": ask("a", "now", rounds=5, noise=1.0)}
    assert measure_drift(old, new, PROBES, DistanceMeasure.TEXT)[0].conclusion is CHANGED


def test_refusals_count_and_failed_calls_do_not() -> None:
    old = {"a": ask("a", "then")}
    refusing = [{key: answer("No.", AnswerOutcome.REFUSED_TEXT) for key in PROBES} for _ in range(2)]
    failed = [{key: answer("", AnswerOutcome.ERROR) for key in PROBES} for _ in range(2)]
    assert measure_drift(old, {"a": refusing}, PROBES, DistanceMeasure.TEXT)[0].conclusion is CHANGED
    (found,) = measure_drift(old, {"a": failed}, PROBES, DistanceMeasure.TEXT)
    assert (found.conclusion, found.probes, found.p_value) == (DriftConclusion.TOO_FEW_PROBES, 0, 1.0)


def test_too_few_probes_show_nothing() -> None:
    old, new = {"a": ask("a", "then")}, {"a": ask("a", "now", changed=60)}
    assert measure_drift(old, new, PROBES[:3], DistanceMeasure.TEXT)[0].conclusion is DriftConclusion.TOO_FEW_PROBES
    assert measure_drift(old, new, PROBES[:8], DistanceMeasure.TEXT)[0].conclusion is CHANGED


def test_only_models_that_were_asked_before_are_compared_and_the_same_answers_give_the_same_result() -> None:
    old, new = {"a": ask("a", "then")}, {"a": ask("a", "now"), "b": ask("b", "now")}
    found = measure_drift(old, new, PROBES, DistanceMeasure.TEXT)
    assert [each.account for each in found] == ["a"]
    assert found == measure_drift(old, new, PROBES, DistanceMeasure.TEXT)


def test_holm_rejects_step_by_step() -> None:
    assert list_rejected({"a": 0.003, "b": 0.009, "c": 0.02, "d": 0.006}, 0.01) == set()
    assert list_rejected({"a": 0.002, "b": 0.009, "c": 0.02, "d": 0.003}, 0.01) == {"a", "d"}
    assert list_rejected({}, 0.01) == set()
