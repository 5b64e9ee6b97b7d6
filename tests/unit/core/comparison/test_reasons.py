"""Reasons: each states its own values, and continues the name of an account."""

from __future__ import annotations

import pytest

from orchestrator.core.comparison.comparability import Obstacle
from orchestrator.core.comparison.interval import Interval
from orchestrator.core.comparison.measurement import Conclusion, Measurement, MeasurementKind
from orchestrator.core.comparison.reasons import format_reason


def create_measurement(kind: MeasurementKind, conclusion: Conclusion, *, known: bool = True) -> Measurement:
    return Measurement(
        kind=kind,
        interval=Interval(-0.031, 0.1, 0.249, 50),
        margin=0.05,
        conclusion=conclusion,
        own=0.75 if known else None,
        others=0.5 if known else None,
    )


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (MeasurementKind.REFUSED, "refuses 75% of the probes, the others 50%"),
        (MeasurementKind.FILTERED, "is filtered in 75% of the probes, the others 50%"),
        (MeasurementKind.EMPTY, "gives no text in 75% of the probes, the others 50%"),
        (MeasurementKind.TRUNCATED, "reaches the maximum length in 75% of the probes, the others 50%"),
        (MeasurementKind.INVALID_FORMAT, "breaks the JSON format in 75% of the probes, the others 50%"),
        (MeasurementKind.QUALITY, "scores 0.75, the others 0.50"),
        (MeasurementKind.LENGTH, "answers with 0.75 times the length of the others"),
        (MeasurementKind.DISTANCE, "stands out: distance 0.75 to the others, which are 0.50 apart"),
    ],
)
def test_difference_states_both_values(kind: MeasurementKind, text: str) -> None:
    assert format_reason(create_measurement(kind, Conclusion.DIFFERENT)) == text


def test_unknown_values_are_no_error() -> None:
    found = create_measurement(MeasurementKind.REFUSED, Conclusion.DIFFERENT, known=False)
    assert format_reason(found) == "refuses 0% of the probes, the others 0%"


@pytest.mark.parametrize("kind", list(MeasurementKind))
def test_doubt_states_interval_and_margin(kind: MeasurementKind) -> None:
    text = format_reason(create_measurement(kind, Conclusion.UNSURE))
    assert text.startswith("has too few probes for the ")
    assert text.endswith(": difference -0.03 to +0.25, margin 0.05")


def test_every_obstacle_and_every_doubt_has_its_own_text() -> None:
    texts = [format_reason(each) for each in Obstacle]
    texts += [format_reason(create_measurement(each, Conclusion.UNSURE)) for each in MeasurementKind]
    assert len(set(texts)) == len(Obstacle) + len(MeasurementKind)
