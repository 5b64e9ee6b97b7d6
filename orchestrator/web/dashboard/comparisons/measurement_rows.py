"""The measurements of an account: what was compared, in words, and its interval as a drawing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from orchestrator.core.comparison.measurement import RATE_KINDS, Conclusion, MeasurementKind
from orchestrator.core.structs import Struct

BAR_LENGTH: Final = 1000  # units of the drawing
_PADDING: Final = 1.08
_TITLES: Final = {
    MeasurementKind.QUALITY: "Quality",
    MeasurementKind.LIKELIHOOD: "Reference answers",
    MeasurementKind.REFUSED: "Refusals",
    MeasurementKind.FILTERED: "Filtered answers",
    MeasurementKind.EMPTY: "Empty answers",
    MeasurementKind.TRUNCATED: "Truncated answers",
    MeasurementKind.INVALID_FORMAT: "Invalid JSON",
    MeasurementKind.WRONG_LANGUAGE: "Wrong language",
    MeasurementKind.LENGTH: "Length",
    MeasurementKind.DISTANCE: "Distance",
    MeasurementKind.CHANGED: "Changed answers",
    MeasurementKind.PAIR: "Answers that differ",
}
_PERCENT_KINDS: Final = frozenset({*RATE_KINDS, MeasurementKind.CHANGED, MeasurementKind.PAIR})
_ONE_SIDED_KINDS: Final = frozenset(
    {MeasurementKind.DISTANCE, MeasurementKind.CHANGED, MeasurementKind.PAIR}
)  # an account that is closer to the others than they are to each other is no problem
CONCLUSION_WORDS: Final = {Conclusion.SAME: "alike", Conclusion.DIFFERENT: "different", Conclusion.UNSURE: "not sure"}
CONCLUSION_TONES: Final = {Conclusion.SAME: "good", Conclusion.DIFFERENT: "bad", Conclusion.UNSURE: "warn"}


class IntervalDrawing(Struct, frozen=True, kw_only=True):
    """Positions in 0 to BAR_LENGTH."""

    zero: float
    margin_start: float
    margin_length: float
    start: float
    length: float
    estimate: float


class MeasurementRow(Struct, frozen=True, kw_only=True):
    """One line of the table of an account."""

    kind: str
    title: str
    own: str
    others: str
    difference: str
    interval: str
    margin: str
    conclusion: str
    tone: str
    drawing: IntervalDrawing


def build_measurement_rows(measurements: Iterable[Mapping[str, Any]]) -> tuple[MeasurementRow, ...]:
    """Build the lines of an account. A kind that only a later version knows is left out, so that its page opens."""
    return tuple(build_measurement_row(each) for each in measurements if each["kind"] in _TITLES)


def build_measurement_row(measurement: Mapping[str, Any]) -> MeasurementRow:
    """Build the line of a measurement of a result document."""
    kind, conclusion = MeasurementKind(measurement["kind"]), Conclusion(measurement["conclusion"])
    show = _choose_format(kind)
    low, high, margin = measurement["low"], measurement["high"], measurement["margin"]
    is_one_sided = kind in _ONE_SIDED_KINDS
    return MeasurementRow(
        kind=kind.value,
        title=_TITLES[kind],
        own=_format_value(kind, measurement["own"]),
        others=_format_value(kind, measurement["others"]),
        difference=show(measurement["difference"]),
        interval=f"{show(low)} to {show(high)}",
        margin=f"up to {show(margin)}" if is_one_sided else f"{show(-margin)} to {show(margin)}",
        conclusion=CONCLUSION_WORDS[conclusion],
        tone=CONCLUSION_TONES[conclusion],
        drawing=_draw(low, measurement["difference"], high, margin, is_one_sided=is_one_sided),
    )


def _choose_format(kind: MeasurementKind) -> Callable[[float], str]:
    """Return how a difference of this kind is written: percentage points, a factor, or a number."""
    if kind in _PERCENT_KINDS:
        return lambda value: f"{round(100 * value):+d}%"
    if kind is MeasurementKind.LENGTH:
        return lambda value: f"×{math.exp(value):.2f}"
    return lambda value: f"{value + 0.0:+.2f}"


def _format_value(kind: MeasurementKind, value: float | None) -> str:
    if value is None:
        return "–"
    if kind in _PERCENT_KINDS:
        return f"{round(100 * value)}%"
    return f"×{value:.2f}" if kind is MeasurementKind.LENGTH else f"{value:.2f}"


def _draw(low: float, estimate: float, high: float, margin: float, *, is_one_sided: bool) -> IntervalDrawing:
    reach = _PADDING * max(1.5 * margin, abs(low), abs(high), 1e-6)

    def place(value: float) -> float:
        return round(BAR_LENGTH * (value + reach) / (2 * reach), 1)

    margin_start = 0.0 if is_one_sided else place(-margin)
    return IntervalDrawing(
        zero=place(0.0),
        margin_start=margin_start,
        margin_length=round(place(margin) - margin_start, 1),
        start=place(low),
        length=max(round(place(high) - place(low), 1), 4.0),
        estimate=place(estimate),
    )
