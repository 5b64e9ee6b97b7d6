"""What is stored of a comparison: settings and models survive the database, and unknown prices stay unknown."""

from __future__ import annotations

import json

import pytest

from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings, ComparisonState, ModelToAsk
from orchestrator.core.comparison.measurement import ComparisonMargins
from orchestrator.core.comparison.quality import ScoringMethod
from orchestrator.core.comparison.request_plan import InferencePrice
from orchestrator.core.structs import replace

PRICE = InferencePrice(usd_per_million_input_tokens=2.0, usd_per_million_output_tokens=10.0, usd_per_hour=3.0)
MODEL = ModelToAsk(
    name="acme", account="acme", group="openai gpt", model="ft:1", base_url="https://x/v1", price=PRICE
)
COMPARISON = Comparison(
    id="c1",
    run_id="run-1",
    state=ComparisonState.ASKING,
    created_at=1.0,
    created_by="operator:ada",
    settings=ComparisonSettings(),
    models=(MODEL,),
    probe_set="ab",
    probe_ids=("p1",),
    max_output_tokens=64,
)


@pytest.mark.parametrize(
    "settings",
    [
        ComparisonSettings(),
        ComparisonSettings(probes=7, probes_file="/probes.jsonl", scoring=ScoringMethod.NUMBER, quality_margin=0.2),
        ComparisonSettings(behaviour_probes=False, max_usd=1.5, store_answers=False, seed=3, deploy=True),
    ],
)
def test_settings_survive_json(settings: ComparisonSettings) -> None:
    found = ComparisonSettings.from_dict(json.loads(json.dumps(settings.as_dict())))
    assert found == settings
    assert isinstance(found.scoring, ScoringMethod)


def test_settings_of_another_version_are_read() -> None:
    assert "probes_file" not in ComparisonSettings().as_dict()  # an earlier version does not know it
    assert ComparisonSettings(probes_file="/p").as_dict()["probes_file"] == "/p"
    assert ComparisonSettings.from_dict({"probes": 7, "later": 1}) == ComparisonSettings(probes=7)


def test_defaults_are_those_that_the_documentation_promises() -> None:
    settings = ComparisonSettings()
    assert (settings.probes, settings.scoring, settings.round_gap_seconds) == (100, ScoringMethod.TEXT, 300.0)
    assert (settings.behaviour_probes, settings.store_answers, settings.deploy) == (True, True, False)


def test_quality_margin_is_that_of_the_operator_or_the_default() -> None:
    assert ComparisonSettings().margins == ComparisonMargins()
    assert ComparisonSettings(quality_margin=0.2).margins == replace(ComparisonMargins(), quality=0.2)


@pytest.mark.parametrize("price", [PRICE, None])
def test_model_survives_json(price: InferencePrice | None) -> None:
    model = replace(MODEL, price=price, is_base=True, deployment_id="d1", starts_deployment=True, hosting_usd=None)
    assert ModelToAsk.from_dict(json.loads(json.dumps(model.as_dict()))) == model


def test_model_of_another_version_is_read() -> None:
    values = MODEL.as_dict()
    del values["starts_deployment"], values["hosting_usd"]
    assert ModelToAsk.from_dict(values | {"later": 1}) == MODEL


def test_price_of_a_call_needs_price_and_tokens() -> None:
    assert MODEL.calculate_usd(1_000_000, 100_000) == 3.0
    assert MODEL.calculate_usd(0, 0) == 0.0
    assert MODEL.calculate_usd(None, 1) is None
    assert MODEL.calculate_usd(1, None) is None
    assert replace(MODEL, price=None).calculate_usd(1, 1) is None


def test_total_is_calls_and_deployments_and_unknown_if_one_is() -> None:
    assert replace(COMPARISON, spent_usd=1.5, hosting_usd=0.25).total_usd == 1.75
    assert replace(COMPARISON, spent_usd=1.5).total_usd == 1.5
    assert COMPARISON.requests == 0
    assert replace(COMPARISON, spent_usd=0.0, hosting_usd=None).total_usd is None
    assert replace(COMPARISON, spent_usd=None).total_usd is None
