"""The change of a model in the result document and as a text, without a simulated comparison."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer, ModelAnswers
from orchestrator.core.comparison.distances.account_drift import (
    EarlierAnswers,
    format_drift,
    list_changed_accounts,
    measure_account_drift,
)
from orchestrator.core.comparison.distances.distance import DistanceMeasure
from orchestrator.core.comparison.distances.drift import DriftConclusion

PROBES = ["p1", "p2", "p3", "p4", "p5"]
AT = 1_800_000_000.0  # 2027-01-15 08:00 UTC
DRIFT = {"comparison": "c0", "at": "2027-01-15T08:00:00+00:00", "changed": True, "p_value": 0.004115, "probes": 5}


def create_model(account: str, text: str) -> ModelAnswers:
    answers = {probe: ModelAnswer(outcome=AnswerOutcome.ANSWERED, text=text) for probe in PROBES}
    return ModelAnswers(account=account, group="openai gpt", rounds=(answers, answers))


def test_each_model_is_compared_with_its_own_earlier_answers() -> None:
    models = [create_model("acme", "no"), create_model("new", "no"), create_model("globex", "yes")]
    earlier = {
        name: EarlierAnswers(comparison_id=f"c-{name}", at=at, rounds=create_model(name, "yes").rounds)
        for name, at in (("globex", AT + 60), ("acme", AT), ("gone", AT))
    }
    found = measure_account_drift(models, earlier, PROBES, DistanceMeasure.EXACT)
    assert list(found) == ["acme", "globex"]
    # Two accounts: the level of the first is half of 1 %. All answers of five probes changed: 1/3⁵ is 0.0041.
    assert [each.measurement.conclusion for each in found.values()] == [
        DriftConclusion.CHANGED,
        DriftConclusion.NO_CHANGE_FOUND,
    ]
    assert found["acme"].as_dict() == {
        "comparison": "c-acme",
        "at": "2027-01-15T08:00:00+00:00",
        "changed": True,
        "p_value": 0.004115,
        "distance": 2.0,
        "probes": 5,
        "changed_most": ["p1", "p2", "p3"],
    }
    assert found["globex"].as_dict() == {
        "comparison": "c-globex",
        "at": "2027-01-15T08:01:00+00:00",
        "changed": False,
        "p_value": 1.0,
        "distance": 0.0,
        "probes": 5,
        "changed_most": [],
    }


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "model changed since 2027-01-15 08:00 UTC (comparison c0): 5 probes, p = 0.0041"),
        (
            {"changed": False, "p_value": 1.0, "probes": 1},
            "no change found since 2027-01-15 08:00 UTC (comparison c0): 1 probe, p = 1",
        ),
        (
            {"changed": None},
            "too few probes to see a change since 2027-01-15 08:00 UTC (comparison c0): 5 probes, p = 0.0041",
        ),
    ],
)
def test_text_states_what_is_known(changes: dict[str, Any], text: str) -> None:
    assert format_drift({"account": "acme", "drift": DRIFT | changes}) == text


def test_only_changed_accounts_are_listed() -> None:
    accounts: list[dict[str, Any]] = [
        {"account": "acme", "drift": DRIFT},
        {"account": "same", "drift": DRIFT | {"changed": False}},
        {"account": "few", "drift": DRIFT | {"changed": None}},
        {"account": "first", "drift": None},
        {"account": "old document"},
    ]
    assert list_changed_accounts({"accounts": accounts}) == ["acme"]
    assert list_changed_accounts({}) == []
    assert format_drift(accounts[3]) is None
    assert format_drift(accounts[4]) is None
