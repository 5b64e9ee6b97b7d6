"""Every field of the result document: its value, and that the schema refuses its absence and a wrong value."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from orchestrator.core.comparison.comparability import Obstacle
from orchestrator.core.comparison.comparator import ComparisonResult, GroupSummary
from orchestrator.core.comparison.distances.account_drift import AccountDrift
from orchestrator.core.comparison.distances.distance import DistanceMeasure
from orchestrator.core.comparison.distances.drift import DriftConclusion, DriftMeasurement
from orchestrator.core.comparison.document import DOCUMENT_SCHEMA, ComparisonFacts, build_document
from orchestrator.core.comparison.interval import Interval
from orchestrator.core.comparison.measurement import Conclusion, Measurement, MeasurementKind
from orchestrator.core.comparison.verdict import AccountVerdict, ComparisonGate, ComparisonVerdict
from orchestrator.core.structs import replace

VALIDATOR = jsonschema.Draft202012Validator(DOCUMENT_SCHEMA)
FACTS = ComparisonFacts(
    run_id="run-1", probe_set="ab", probes=40, requests=280, usd=0.12345678, hosting_usd=1.00000049
)
MEASUREMENT = Measurement(
    kind=MeasurementKind.REFUSED,
    interval=Interval(0.123449, 0.25, 0.5, 40),
    margin=0.1,
    conclusion=Conclusion.DIFFERENT,
    own=0.26,
    others=0.010001,
    probe_ids=("p1", "p2", "p3"),
)
DIFFERENT = AccountVerdict(account="acme", verdict=ComparisonVerdict.DIFFERENT, measurements=(MEASUREMENT,))
NOT_COMPARABLE = AccountVerdict(
    account="globex",
    verdict=ComparisonVerdict.NOT_COMPARABLE,
    obstacle=Obstacle.SERVING,
    is_unsteady=True,
    is_alone=True,
    needed_probes=225,
    accepted_by="ann",
)
RESULT = ComparisonResult(
    gate=ComparisonGate((DIFFERENT, NOT_COMPARABLE)),
    groups=(
        GroupSummary(
            group="openai gpt",
            accounts=("acme", "globex"),
            floor=0.01,
            spread=0.123456,
            ceiling=0.5,
            relative_spread=0.25,
            explained=0.75,
        ),
    ),
    measure=DistanceMeasure.TEXT,
    distances={("b", "c"): 0.5, ("a", "b"): 0.123456},
)
DRIFT = AccountDrift(
    comparison_id="c0",
    at=1_800_000_000.25,
    measurement=DriftMeasurement(
        account="acme",
        conclusion=DriftConclusion.CHANGED,
        p_value=0.00012345678,
        distance=0.123456,
        probes=39,
        probe_ids=("p1", "p2"),
    ),
)
DOCUMENT = build_document(RESULT, FACTS, {"acme": DRIFT})


def test_document_has_every_value() -> None:
    assert DOCUMENT == {
        "schema": 1,
        "run": "run-1",
        "passed": False,
        "summary": "0 of 2 alike; acme refuses 26% of the probes, the others 1%; "
        "globex is served with another base model or precision",
        "probe_set": "ab",
        "probes": 40,
        "requests": 280,
        "usd": 1.123457,
        "token_usd": 0.123457,
        "hosting_usd": 1.0,
        "measure": "text",
        "groups": [
            {
                "group": "openai gpt",
                "accounts": ["acme", "globex"],
                "floor": 0.01,
                "spread": 0.1235,
                "ceiling": 0.5,
                "relative_spread": 0.25,
                "explained": 0.75,
            }
        ],
        "accounts": [
            {
                "account": "acme",
                "verdict": "different",
                "reasons": ["refuses 26% of the probes, the others 1%"],
                "obstacle": None,
                "unsteady": False,
                "alone": False,
                "needed_probes": None,
                "accepted_by": None,
                "drift": {
                    "comparison": "c0",
                    "at": "2027-01-15T08:00:00+00:00",
                    "changed": True,
                    "p_value": 0.000123,
                    "distance": 0.1235,
                    "probes": 39,
                    "changed_most": ["p1", "p2"],
                },
                "measurements": [
                    {
                        "kind": "refused",
                        "conclusion": "different",
                        "difference": 0.25,
                        "low": 0.1234,
                        "high": 0.5,
                        "margin": 0.1,
                        "own": 0.26,
                        "others": 0.01,
                        "probes": ["p1", "p2", "p3"],
                    }
                ],
            },
            {
                "account": "globex",
                "verdict": "not_comparable",
                "reasons": [
                    "is served with another base model or precision",
                    "answers differ between two rounds far more than those of the other accounts",
                ],
                "obstacle": "serving",
                "unsteady": True,
                "alone": True,
                "needed_probes": 225,
                "accepted_by": "ann",
                "drift": None,
                "measurements": [],
            },
        ],
        "distances": [{"accounts": ["a", "b"], "distance": 0.1235}, {"accounts": ["b", "c"], "distance": 0.5}],
    }


def test_unknown_values_are_null() -> None:
    measurement = replace(MEASUREMENT, own=None, others=None)
    group = replace(RESULT.groups[0], ceiling=None, relative_spread=None, explained=None)
    gate = ComparisonGate((replace(DIFFERENT, measurements=(measurement,)),))
    document = build_document(replace(RESULT, gate=gate, groups=(group,)), replace(FACTS, usd=None))
    assert VALIDATOR.is_valid(document)
    assert [document[name] for name in ("usd", "token_usd", "hosting_usd")] == [None, None, 1.0]
    assert [document["groups"][0][name] for name in ("ceiling", "relative_spread", "explained")] == [None] * 3
    assert document["accounts"][0]["drift"] is None
    assert document["accounts"][0]["measurements"][0]["own"] is None
    assert build_document(RESULT, replace(FACTS, hosting_usd=None))["usd"] is None
    assert build_document(RESULT, replace(FACTS, usd=0.0, hosting_usd=0.0))["usd"] == 0.0


@pytest.mark.parametrize("conclusion", list(DriftConclusion))
def test_change_is_true_false_or_unknown(conclusion: DriftConclusion) -> None:
    drift = replace(DRIFT, measurement=replace(DRIFT.measurement, conclusion=conclusion))
    document = build_document(RESULT, FACTS, {"acme": drift})
    expected = {"changed": True, "no_change_found": False, "too_few_probes": None}
    assert document["accounts"][0]["drift"]["changed"] is expected[conclusion.value]
    assert VALIDATOR.is_valid(document)


def iter_containers(value: Any) -> Iterator[Any]:
    """Yield every object and array of a document."""
    if isinstance(value, dict | list):
        yield value
        for child in value.values() if isinstance(value, dict) else value:
            yield from iter_containers(child)


def count_containers() -> int:
    return sum(1 for _ in iter_containers(DOCUMENT))


def copy_document(number: int) -> tuple[dict[str, Any], Any]:
    """Return a copy of the document, and one of its objects or arrays."""
    document = copy.deepcopy(DOCUMENT)
    return document, list(iter_containers(document))[number]


def test_schema_is_valid_and_accepts_the_document() -> None:
    VALIDATOR.check_schema(DOCUMENT_SCHEMA)
    assert jsonschema.validators.validator_for(DOCUMENT_SCHEMA, default=None) is jsonschema.Draft202012Validator
    VALIDATOR.validate(DOCUMENT)


@pytest.mark.parametrize("number", range(count_containers()))
def test_schema_refuses_absent_unknown_and_wrong_values(number: int) -> None:
    _, container = copy_document(number)
    keys = list(container) if isinstance(container, dict) else range(len(container))
    for key in keys:
        is_text = isinstance(container[key], str) or key == "accepted_by"
        wrong_values: list[object] = [{"x": 1}, [[]], 5 if is_text else "no value of a choice"]
        for wrong in wrong_values:
            document, broken = copy_document(number)
            broken[key] = wrong
            assert not VALIDATOR.is_valid(document), (key, wrong)
        document, broken = copy_document(number)
        if isinstance(broken, dict):
            del broken[key]
            assert VALIDATOR.is_valid(document) is (key == "drift"), key
    document, broken = copy_document(number)
    if isinstance(broken, dict):
        broken["unknown"] = 1
        assert not VALIDATOR.is_valid(document)


def list_wrong_values() -> list[tuple[str, Any]]:
    """Return paths of values, and a value that is out of range there."""
    account, measurement = "accounts.0.", "accounts.0.measurements.0."
    return [
        ("schema", 2),
        ("probes", -1),
        ("requests", 1.5),
        ("measure", "cosine"),
        ("passed", 1),
        (account + "verdict", "ok"),
        (account + "obstacle", "weather"),
        (account + "needed_probes", 1.5),
        (account + "alone", None),
        (account + "unsteady", None),
        (account + "drift.p_value", -0.1),
        (account + "drift.p_value", 1.1),
        (account + "drift.probes", -1),
        (account + "drift.changed", 1),
        (account + "drift.changed_most", ["a", "b", "c", "d"]),
        (account + "drift.at", None),
        (measurement + "kind", "mood"),
        (measurement + "conclusion", "maybe"),
        (measurement + "low", None),
        (measurement + "margin", None),
        (measurement + "probes", ["a", "b", "c", "d"]),
        ("groups.0.floor", None),
        ("distances.0.distance", 1.1),
        ("distances.0.distance", -0.1),
        ("distances.0.accounts", ["a"]),
        ("distances.0.accounts", ["a", "b", "c"]),
    ]


@pytest.mark.parametrize(("path", "wrong"), list_wrong_values())
def test_schema_refuses_values_out_of_range(path: str, wrong: object) -> None:
    document: Any = copy.deepcopy(DOCUMENT)
    *parents, name = path.split(".")
    place = document
    for each in parents:
        place = place[int(each)] if each.isdigit() else place[each]
    assert name in place
    place[name] = wrong
    assert not VALIDATOR.is_valid(document)


def test_schema_accepts_the_ends_of_every_range() -> None:
    document: Any = copy.deepcopy(DOCUMENT)
    document |= {"probes": 0, "requests": 0, "usd": None, "token_usd": None, "hosting_usd": None}
    document["distances"] = [{"accounts": ["a", "b"], "distance": end} for end in (0, 1)]
    for end in (0, 1):
        document["accounts"][0]["drift"] |= {"p_value": end, "probes": 0, "changed_most": ["a", "b", "c"]}
        assert VALIDATOR.is_valid(document)
