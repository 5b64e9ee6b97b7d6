"""The gate: a model is exported if it is alike or accepted, and both are about this model only."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.comparison.comparison import ModelToAsk
from orchestrator.core.comparison.gate import (
    NO_VERDICTS,
    ModelAcceptance,
    ModelComparison,
    RunVerdicts,
    apply_acceptances,
    build_verdicts,
    find_gate_obstacle,
)
from orchestrator.core.comparison.verdict import ComparisonVerdict
from orchestrator.core.structs import replace

REASON = "refuses 12 % of the probes, the others 1 %"
COMPARED = ModelComparison(model="ft:1", verdict=ComparisonVerdict.ALIKE, comparison_id="c1", at=5.0)
ACCEPTANCE = ModelAcceptance(
    id="a1",
    run_id="run-1",
    account="acme",
    job_id="job-1",
    model="ft:1",
    comparison_id="c1",
    reason="A strict model is wanted.",
    accepted_by="operator:ada",
    accepted_at=9.0,
)


def ask(account: str, **values: Any) -> ModelToAsk:
    return ModelToAsk(name=account, account=account, group="g", model="dep-1", base_url="https://x/v1", **values)


@pytest.mark.parametrize(
    ("verdict", "obstacle"),
    [
        (ComparisonVerdict.ALIKE, None),
        (ComparisonVerdict.DIFFERENT, f"is different from the other models: {REASON}"),
        (ComparisonVerdict.NOT_SURE, f"is not certainly alike: {REASON}"),
        (ComparisonVerdict.NOT_COMPARABLE, f"is not comparable: {REASON}"),
        (None, "has not been compared: `orchestrator compare`"),
    ],
)
def test_only_a_model_that_is_alike_or_accepted_passes(
    verdict: ComparisonVerdict | None, obstacle: str | None
) -> None:
    compared = replace(COMPARED, verdict=verdict, reasons=(REASON,))
    assert find_gate_obstacle("ft:1", compared) == obstacle
    assert find_gate_obstacle("ft:1", replace(compared, accepted_by="operator:ada")) is None


def test_verdict_without_a_reason_is_a_complete_text() -> None:
    assert (
        find_gate_obstacle("ft:1", replace(COMPARED, verdict=ComparisonVerdict.NOT_SURE)) == "is not certainly alike"
    )


def test_model_that_was_not_compared_does_not_pass() -> None:
    assert "has not been compared" in (find_gate_obstacle("ft:1", None) or "")


@pytest.mark.parametrize("known", [COMPARED, replace(COMPARED, accepted_by="operator:ada")])
def test_checkpoint_does_not_pass_with_the_verdict_of_the_final_model(known: ModelComparison) -> None:
    assert "checkpoints" in (find_gate_obstacle("ft:1:ckpt-step-10", known) or "")


def test_verdict_is_found_by_account_and_fine_tuned_model() -> None:
    models = [ask("acme", fine_tuned_model="ft:1"), ask("early"), ask("base", is_base=True)]
    accounts = [
        {"account": "acme", "verdict": "different", "reasons": [REASON]},
        {"account": "early", "verdict": "alike", "reasons": []},
        {"account": "unknown", "verdict": "alike", "reasons": []},
    ]
    known = RunVerdicts(verdicts=build_verdicts("c1", 5.0, models, accounts))
    found = known.find("acme", "ft:1")
    assert found is not None
    assert (found.verdict, found.reasons, found.comparison_id, found.at) == ("different", (REASON,), "c1", 5.0)
    assert known.find("acme", "ft:2") is None  # trained later
    assert known.find("acme", "dep-1") is None  # the name of a deployment is not the id of a model
    assert known.find("early", "dep-1") is not None  # a comparison of an earlier version names what was called
    assert known.find("other", "ft:1") is None
    assert known.find("acme", None) is None


def test_acceptance_is_about_one_model() -> None:
    known = RunVerdicts(verdicts={("acme", "ft:1"): COMPARED}, acceptances=(ACCEPTANCE,))
    found = known.find("acme", "ft:1")
    assert found == replace(COMPARED, accepted_by="operator:ada", accepted_reason="A strict model is wanted.")
    assert known.find("acme", "ft:2") is None
    assert known.find("globex", "ft:1") is None


def test_model_may_be_accepted_without_a_comparison() -> None:
    found = RunVerdicts(verdicts={}, acceptances=(ACCEPTANCE,)).find("acme", "ft:1")
    assert found is not None
    assert (found.verdict, found.accepted_by) == (None, "operator:ada")
    assert find_gate_obstacle("ft:1", found) is None
    assert NO_VERDICTS.find("acme", "ft:1") is None


def test_document_names_who_accepted_and_passes_then() -> None:
    failing = {"account": "acme", "verdict": "different", "accepted_by": None}
    document = {"schema": 1, "passed": False, "accounts": [failing, failing | {"account": "late"}]}
    models = [ask("acme", fine_tuned_model="ft:1"), ask("late", fine_tuned_model="ft:9")]
    for_late = replace(ACCEPTANCE, account="late", model="ft:8")  # of the model before
    partly = apply_acceptances(document, models, [ACCEPTANCE, for_late])
    assert [each["accepted_by"] for each in partly["accounts"]] == ["operator:ada", None]
    assert (partly["passed"], partly["schema"]) == (False, 1)
    whole = apply_acceptances(document, models, [ACCEPTANCE, replace(for_late, model="ft:9")])
    assert whole["passed"] is True
    assert document["accounts"] == [failing, failing | {"account": "late"}]


def test_comparison_of_a_model_as_plain_values() -> None:
    known = replace(
        COMPARED, reasons=(REASON,), accepted_by="operator:ada", accepted_reason="A strict model is wanted."
    )
    assert known.as_dict() == {
        "verdict": "alike",
        "reasons": [REASON],
        "comparison": "c1",
        "at": 5.0,
        "accepted_by": "operator:ada",
        "accepted_reason": "A strict model is wanted.",
    }


def test_latest_of_several_acceptances_counts() -> None:
    later = replace(ACCEPTANCE, id="a2", accepted_by="operator:bob", reason="Checked by hand.")
    found = RunVerdicts(verdicts={}, acceptances=(ACCEPTANCE, later)).find("acme", "ft:1")
    assert found is not None
    assert (found.accepted_by, found.accepted_reason) == ("operator:bob", "Checked by hand.")


@pytest.mark.parametrize(
    ("verdict", "passed"), [("alike", True), ("not_sure", True), ("different", False), ("not_comparable", False)]
)
def test_document_passes_unless_a_failing_model_is_not_accepted(verdict: str, passed: bool) -> None:
    document = {"passed": None, "accounts": [{"account": "acme", "verdict": verdict}]}
    models = [ask("acme", fine_tuned_model="ft:1")]
    assert apply_acceptances(document, models, [])["passed"] is passed
    assert apply_acceptances(document, models, [ACCEPTANCE])["passed"] is True


def test_acceptance_does_not_name_the_base_model_of_an_account() -> None:
    models = [ask("acme", is_base=True, fine_tuned_model="ft:1")]
    accounts = [{"account": "acme", "verdict": "alike", "reasons": []}]
    assert build_verdicts("c1", 5.0, models, accounts) == {}
