"""The result of a comparison as a JSON document (`orchestrator compare --json`), and its schema.

Fields are added, none is renamed or removed while `schema` is 1, because scripts and pipelines read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.core.comparison.comparability import Obstacle
from orchestrator.core.comparison.comparator import ComparisonResult, GroupSummary
from orchestrator.core.comparison.distances.account_drift import AccountDrift
from orchestrator.core.comparison.distances.distance import DistanceMeasure
from orchestrator.core.comparison.measurement import Conclusion, Measurement, MeasurementKind
from orchestrator.core.comparison.verdict import AccountVerdict, ComparisonVerdict
from orchestrator.core.structs import Struct

DOCUMENT_SCHEMA_VERSION: Final = 1
_DIGITS: Final = 4  # of numbers: more would suggest a precision that a hundred probes do not have


class ComparisonFacts(Struct, frozen=True, kw_only=True):
    """What a result document states besides the verdicts."""

    run_id: str
    probe_set: str  # hash of the probes; only comparisons of one set can be compared with each other
    probes: int
    requests: int
    usd: float | None  # of the calls; None: a price is unknown
    hosting_usd: float | None = 0.0  # of the deployments that the comparison started; None: a price is unknown

    @property
    def total_usd(self) -> float | None:
        """What the comparison cost; None: a price is unknown."""
        return None if self.usd is None or self.hosting_usd is None else self.usd + self.hosting_usd


def build_document(
    result: ComparisonResult, facts: ComparisonFacts, drift: Mapping[str, AccountDrift] | None = None
) -> dict[str, Any]:
    """Build the JSON document of a result. `drift` has the change of the models with earlier answers, by account."""
    return {
        "schema": DOCUMENT_SCHEMA_VERSION,
        "run": facts.run_id,
        "passed": result.gate.is_passed,
        "summary": result.gate.format_sentence(),
        "probe_set": facts.probe_set,
        "probes": facts.probes,
        "requests": facts.requests,
        "usd": _round_usd(facts.total_usd),
        "token_usd": _round_usd(facts.usd),
        "hosting_usd": _round_usd(facts.hosting_usd),
        "measure": result.measure.value,
        "groups": [_build_group(each) for each in result.groups],
        "accounts": [_build_account(each, (drift or {}).get(each.account)) for each in result.gate.verdicts],
        "distances": [
            {"accounts": list(pair), "distance": _round(value)} for pair, value in sorted(result.distances.items())
        ],
    }


def _build_group(group: GroupSummary) -> dict[str, Any]:
    return {
        "group": group.group,
        "accounts": list(group.accounts),
        "floor": _round(group.floor),
        "spread": _round(group.spread),
        "ceiling": _round(group.ceiling),
        "relative_spread": _round(group.relative_spread),
        "explained": _round(group.explained),
    }


def _build_account(verdict: AccountVerdict, drift: AccountDrift | None) -> dict[str, Any]:
    return {
        "account": verdict.account,
        "verdict": verdict.verdict.value,
        "reasons": list(verdict.reasons),
        "obstacle": verdict.obstacle.value if verdict.obstacle else None,
        "unsteady": verdict.is_unsteady,
        "alone": verdict.is_alone,
        "needed_probes": verdict.needed_probes,
        "accepted_by": verdict.accepted_by,
        "drift": drift.as_dict() if drift else None,
        "measurements": [_build_measurement(each) for each in verdict.measurements],
    }


def _build_measurement(measurement: Measurement) -> dict[str, Any]:
    interval = measurement.interval
    return {
        "kind": measurement.kind.value,
        "conclusion": measurement.conclusion.value,
        "difference": _round(interval.estimate),
        "low": _round(interval.low),
        "high": _round(interval.high),
        "margin": _round(measurement.margin),
        "own": _round(measurement.own),
        "others": _round(measurement.others),
        "probes": list(measurement.probe_ids),
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _round_usd(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 6)


def _object(properties: Mapping[str, Any], later: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Build the schema of an object that has exactly these fields; `later` ones are absent in older documents."""
    return {
        "type": "object",
        "properties": {**properties, **(later or {})},
        "required": list(properties),
        "additionalProperties": False,
    }


def _array(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


def _choice(values: Sequence[str]) -> dict[str, Any]:
    return {"enum": list(values)}


_STRING: Final = {"type": "string"}
_BOOLEAN: Final = {"type": "boolean"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_NUMBER: Final = {"type": "number"}
_OPTIONAL_NUMBER: Final = {"type": ["number", "null"]}
_MEASUREMENT: Final = _object(
    {
        "kind": _choice([each.value for each in MeasurementKind]),
        "conclusion": _choice([each.value for each in Conclusion]),
        "difference": _NUMBER,
        "low": _NUMBER,
        "high": _NUMBER,
        "margin": _NUMBER,
        "own": _OPTIONAL_NUMBER,
        "others": _OPTIONAL_NUMBER,
        "probes": {**_array(_STRING), "maxItems": 3},
    }
)
_DRIFT: Final = _object(
    {
        "comparison": _STRING,
        "at": {**_STRING, "format": "date-time"},
        "changed": {"type": ["boolean", "null"]},
        "p_value": {**_NUMBER, "minimum": 0, "maximum": 1},
        "distance": _NUMBER,
        "probes": _COUNT,
        "changed_most": {**_array(_STRING), "maxItems": 3},
    }
)
_ACCOUNT: Final = _object(
    {
        "account": _STRING,
        "verdict": _choice([each.value for each in ComparisonVerdict]),
        "reasons": _array(_STRING),
        "obstacle": {"enum": [*(each.value for each in Obstacle), None]},
        "unsteady": _BOOLEAN,
        "alone": _BOOLEAN,
        "needed_probes": {"type": ["integer", "null"]},
        "accepted_by": {"type": ["string", "null"]},
        "measurements": _array(_MEASUREMENT),
    },
    later={"drift": {"anyOf": [_DRIFT, {"type": "null"}]}},
)
_GROUP: Final = _object(
    {
        "group": _STRING,
        "accounts": _array(_STRING),
        "floor": _NUMBER,
        "spread": _NUMBER,
        "ceiling": _OPTIONAL_NUMBER,
        "relative_spread": _OPTIONAL_NUMBER,
        "explained": _OPTIONAL_NUMBER,
    }
)
_PAIR: Final = _object(
    {
        "accounts": {**_array(_STRING), "minItems": 2, "maxItems": 2},
        "distance": {**_NUMBER, "minimum": 0, "maximum": 1},
    }
)
DOCUMENT_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Result of a comparison of fine-tuned models",
    **_object(
        {
            "schema": {"const": DOCUMENT_SCHEMA_VERSION},
            "run": _STRING,
            "passed": _BOOLEAN,
            "summary": _STRING,
            "probe_set": _STRING,
            "probes": _COUNT,
            "requests": _COUNT,
            "usd": _OPTIONAL_NUMBER,
            "token_usd": _OPTIONAL_NUMBER,
            "hosting_usd": _OPTIONAL_NUMBER,
            "measure": _choice([each.value for each in DistanceMeasure]),
            "groups": _array(_GROUP),
            "accounts": _array(_ACCOUNT),
            "distances": _array(_PAIR),
        }
    ),
}
