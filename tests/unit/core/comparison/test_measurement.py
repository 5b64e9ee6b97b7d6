"""Conclusions from intervals, at the margins, and the probes that show a difference best."""

from __future__ import annotations

import pytest

from orchestrator.core.comparison.interval import Interval
from orchestrator.core.comparison.measurement import (
    ComparisonMargins,
    Conclusion,
    Measurement,
    MeasurementKind,
    conclude,
    list_top_probes,
)

SAME, DIFFERENT, UNSURE = Conclusion.SAME, Conclusion.DIFFERENT, Conclusion.UNSURE


@pytest.mark.parametrize(
    ("low", "high", "conclusion"),
    [
        (-0.1, 0.1, SAME),  # the margin itself counts as alike
        (-0.05, 0.02, SAME),
        (-0.11, 0.1, UNSURE),
        (-0.1, 0.11, UNSURE),
        (0.1, 0.2, UNSURE),
        (-0.2, -0.1, UNSURE),
        (0.11, 0.2, DIFFERENT),
        (-0.2, -0.11, DIFFERENT),
        (-0.5, 0.5, UNSURE),
    ],
)
def test_whole_interval_decides(low: float, high: float, conclusion: Conclusion) -> None:
    assert conclude(Interval(low, (low + high) / 2, high, 10), 0.1) is conclusion


@pytest.mark.parametrize(("conclusion", "needed"), [(UNSURE, 225), (SAME, None), (DIFFERENT, None)])
def test_only_a_doubt_needs_more_probes(conclusion: Conclusion, needed: int | None) -> None:
    measurement = Measurement(
        kind=MeasurementKind.QUALITY, interval=Interval(-0.02, 0.04, 0.10, 100), margin=0.08, conclusion=conclusion
    )
    assert measurement.needed_probes == needed


def test_top_probes_are_the_three_largest_in_one_direction() -> None:
    values = {"d": 0.5, "a": 0.2, "c": 0.5, "b": 0.9, "zero": 0.0, "e": -0.4, "f": -0.1}
    assert list_top_probes(values, 0.3) == ("b", "c", "d")
    assert list_top_probes(values, -0.3) == ("e", "f")
    assert list_top_probes(values, 0.0) == ()


def test_margins_are_those_that_the_documentation_promises() -> None:
    margins = ComparisonMargins()
    assert (margins.quality, margins.rate, margins.standout) == (0.05, 0.10, 0.03)
    assert (margins.distance, margins.changed, margins.pair) == (0.10, 0.15, 0.40)
