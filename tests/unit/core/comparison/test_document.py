"""The JSON document of a comparison: valid by its schema, stable, and with the fields that scripts read."""

from __future__ import annotations

import json

import jsonschema
import pytest
from comparison_worlds import World, create_input

from orchestrator.core.comparison.comparator import compare_models
from orchestrator.core.comparison.document import DOCUMENT_SCHEMA, ComparisonFacts, build_document
from orchestrator.core.structs import replace

FACTS = ComparisonFacts(run_id="run-1", probe_set="ab" * 32, probes=40, requests=280, usd=None)


@pytest.mark.parametrize(
    "world",
    [
        World(seed=1, accounts=3, probes=40),
        World(seed=1, accounts=3, probes=40, refused=0.6),
        World(seed=1, accounts=3, probes=40, other_language=0.6),
        World(seed=1, accounts=3, probes=40, added_prompt_tokens=3),
        World(seed=1, accounts=1, probes=40),
    ],
)
def test_document_is_valid_and_survives_json(world: World) -> None:
    document = build_document(compare_models(create_input(world)), FACTS)
    jsonschema.Draft202012Validator.check_schema(DOCUMENT_SCHEMA)
    jsonschema.validate(document, DOCUMENT_SCHEMA)
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_document_has_the_verdict_and_reasons_of_each_account() -> None:
    world = World(seed=3, accounts=3, probes=40, refused=0.6)
    document = build_document(compare_models(create_input(world)), replace(FACTS, usd=0.25))
    last = document["accounts"][-1]
    assert (document["schema"], document["run"], document["passed"], document["usd"]) == (1, "run-1", False, 0.25)
    assert (last["account"], last["verdict"], last["accepted_by"]) == ("account-002", "different", None)
    assert last["reasons"][0].startswith("refuses ")
    assert last["reasons"][0] in document["summary"]
    assert [each["accounts"] for each in document["distances"]] == [
        ["account-000", "account-001"],
        ["account-000", "account-002"],
        ["account-001", "account-002"],
    ]


def test_schema_refuses_unknown_verdicts_and_fields() -> None:
    document = build_document(compare_models(create_input(World(seed=1, accounts=1, probes=20))), FACTS)
    for broken in (
        {**document, "score": 0.9},
        {**document, "accounts": [{**document["accounts"][0], "verdict": "ok"}]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, DOCUMENT_SCHEMA)
