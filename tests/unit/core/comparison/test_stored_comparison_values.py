"""Values that are stored or part of the API: earlier databases and scripts have them, so they never change."""

from __future__ import annotations

from enum import StrEnum

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.behaviour_probes import list_behaviour_probes
from orchestrator.core.comparison.comparability import Obstacle
from orchestrator.core.comparison.comparison import ComparisonState
from orchestrator.core.comparison.distances.distance import DistanceMeasure
from orchestrator.core.comparison.distances.drift import DriftConclusion
from orchestrator.core.comparison.measurement import Conclusion, MeasurementKind
from orchestrator.core.comparison.probe import ProbeKind, hash_probe_set
from orchestrator.core.comparison.quality import ScoringMethod
from orchestrator.core.comparison.verdict import ComparisonVerdict


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (AnswerOutcome, "answered refused_text filtered_prompt filtered_answer truncated empty error"),
        (Obstacle, "no_answers errors prompt_tokens serving"),
        (ComparisonState, "asking finished stopped"),
        (DistanceMeasure, "exact text field"),
        (DriftConclusion, "changed no_change_found too_few_probes"),
        (Conclusion, "same different unsure"),
        (
            MeasurementKind,
            "quality likelihood refused filtered empty truncated invalid_format wrong_language length distance "
            "changed pair",
        ),
        (ProbeKind, "held_out behaviour"),
        (ScoringMethod, "exact contains number json text"),
        (ComparisonVerdict, "alike different not_sure not_comparable"),
    ],
)
def test_values_never_change(values: type[StrEnum], expected: str) -> None:
    assert [each.value for each in values] == expected.split()


def test_set_of_the_shipped_questions_never_changes() -> None:
    probes = list_behaviour_probes()
    assert len(probes) == 20
    assert probes[0].messages == '[{"content":"What is the capital of Australia?","role":"user"}]'
    assert {(probe.kind, probe.reference, probe.stratum) for probe in probes} == {
        (ProbeKind.BEHAVIOUR, None, (False, 1, 0))
    }
    assert all(probe.probe_id == probe.prompt_id for probe in probes)
    assert hash_probe_set(probes).startswith("09362b610c33a723")
