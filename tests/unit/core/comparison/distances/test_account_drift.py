"""The field `drift` of a result document, and what tables, pages and notifications say about it."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from comparison_worlds import World, create_input

from orchestrator.cli.comparison_table import build_comparison_table
from orchestrator.core.comparison.answer import ModelAnswers
from orchestrator.core.comparison.comparator import ComparisonInput
from orchestrator.core.comparison.distances.account_drift import EarlierAnswers, format_drift, list_changed_accounts
from orchestrator.core.comparison.document import DOCUMENT_SCHEMA, ComparisonFacts
from orchestrator.core.structs import replace
from orchestrator.daemon.comparisons.comparison_result import ResultRequest, compute_document

FACTS = ComparisonFacts(run_id="run-1", probe_set="ab" * 32, probes=40, requests=280, usd=None)
AT = 1_800_000_000.0  # 2027-01-15 08:00 UTC
LAST = "account-002"


def compute(given: ComparisonInput, earlier: list[ModelAnswers]) -> dict[str, Any]:
    then = {
        model.account: EarlierAnswers(comparison_id="c0", at=AT + number * 60, rounds=model.rounds)
        for number, model in enumerate(earlier)
    }
    document = compute_document(ResultRequest(given=given, facts=FACTS, earlier=then))
    jsonschema.validate(document, DOCUMENT_SCHEMA)
    return document


@pytest.fixture
def given() -> ComparisonInput:
    return create_input(World(seed=1, accounts=3, probes=40))


def test_changed_model_is_told_from_unchanged_ones_and_new_ones(given: ComparisonInput) -> None:
    other = create_input(World(seed=1, accounts=3, probes=40, changed=0.7))
    document = compute(given, [given.models[0], other.models[2]])
    drifts = {each["account"]: each["drift"] for each in document["accounts"]}
    assert drifts["account-001"] is None
    assert drifts["account-000"]["changed"] is False
    assert abs(drifts["account-000"]["distance"]) < 0.02 < drifts[LAST]["distance"]
    assert drifts[LAST]["changed"] is True
    assert drifts[LAST]["p_value"] <= 0.005
    assert (drifts[LAST]["comparison"], drifts[LAST]["at"]) == ("c0", "2027-01-15T08:01:00+00:00")
    assert (drifts[LAST]["probes"], len(drifts[LAST]["changed_most"])) == (40, 3)
    assert list_changed_accounts(document) == [LAST]
    assert compute(given, [given.models[0], other.models[2]]) == document


def test_too_few_probes_are_neither_changed_nor_unchanged() -> None:
    given = create_input(World(seed=1, accounts=3, probes=4))
    document = compute(given, list(given.models))
    assert {each["drift"]["changed"] for each in document["accounts"]} == {None}
    assert "too few probes to see a change since" in (format_drift(document["accounts"][0]) or "")
    assert list_changed_accounts(document) == []


def test_verdicts_do_not_depend_on_the_change(given: ComparisonInput) -> None:
    other = create_input(replace(World(seed=1, accounts=3, probes=40), changed=0.7))
    changed, first = compute(given, list(other.models)), compute(given, [])
    assert [{**each, "drift": None} for each in changed["accounts"]] == first["accounts"]
    assert changed["summary"] == first["summary"]


def test_table_names_changed_models_only(given: ComparisonInput) -> None:
    other = create_input(World(seed=1, accounts=3, probes=40, changed=0.7))
    document = compute(given, [given.models[0], other.models[2]])
    text = str(build_comparison_table(document, None, borders=False))
    assert "model changed since 2027-01-15 08:01 UTC (comparison c0): 40 probes, p = " in text
    assert "no change found" not in text


def test_document_of_an_earlier_version_is_valid_and_shown(given: ComparisonInput) -> None:
    document = compute(given, [])
    for account in document["accounts"]:
        del account["drift"]
    jsonschema.validate(document, DOCUMENT_SCHEMA)
    assert build_comparison_table(document, 80)
    assert format_drift(document["accounts"][0]) is None
    assert list_changed_accounts(document) == []
