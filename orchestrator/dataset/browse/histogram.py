"""Histograms with axes, for the dataset page and the HTML report: tokens, turns and cost by length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, log10
from typing import Final

from orchestrator.core.structs import Struct
from orchestrator.core.text import format_number, format_usd
from orchestrator.dataset.browse.distribution import Distribution

MIN_COLUMNS: Final = 8  # a distribution of one bar must not fill the drawing
_MAX_LABELS: Final = 6
_LEAST_HEIGHT: Final = 0.8  # a bar with one example among thousands must be visible
_LABELS_INSIDE: Final = (6, 94)  # percent: labels beyond are aligned with the edge of the drawing


class Bar(Struct, frozen=True, kw_only=True):
    """A bar. Lengths are percentages of the drawing."""

    x: float
    y: float
    width: float
    height: float
    label: str


class AxisTick(Struct, frozen=True, kw_only=True):
    """A label of the horizontal axis. `anchor` is a value of `text-anchor`."""

    x: float
    label: str
    anchor: str


class Histogram(Struct, frozen=True, kw_only=True):
    """A histogram, its axes, and the same numbers as rows of a table."""

    key: str
    title: str
    x_title: str
    y_title: str
    note: str
    summary: str
    bars: tuple[Bar, ...]
    x_ticks: tuple[AxisTick, ...]
    y_labels: tuple[str, ...]  # from the top of the drawing to 0
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def build_histograms(
    tokens: Distribution, turns: Distribution, *, usd: float | None, price_note: str, estimated: bool
) -> tuple[Histogram, ...]:
    """Build the histograms of tokens, cost and turns. `usd` is the price of all tokens; None if it is not known."""
    if not turns.counts:
        return ()
    turn_note = "A turn is a user message with its answers."
    turn_histogram = _build_count_histogram("turns", "Turns per example", "turns", turns, turn_note)
    if not tokens.counts:  # no base model is known
        return (turn_histogram,)
    note = "Partly estimated: no provider documents the tokens of pictures and tools." if estimated else ""
    return (
        _build_count_histogram("tokens", "Tokens per example", "tokens", tokens, note),
        _build_cost_histogram(tokens, usd, price_note),
        turn_histogram,
    )


def _build_count_histogram(key: str, title: str, unit: str, values: Distribution, note: str) -> Histogram:
    return _build_histogram(
        values,
        values.counts,
        format_number,
        key=key,
        title=title,
        unit=unit,
        y_title="Examples",
        note=note,
        summary=f"Median {format_number(values.median)}, 95th percentile {format_number(values.percentile_95)}, "
        f"largest {format_number(values.largest)}.",
    )


def _build_cost_histogram(tokens: Distribution, usd: float | None, note: str) -> Histogram:
    """The cost of a bar is its share of all tokens times the price: every provider bills the trained tokens."""
    shares = [count / max(tokens.total, 1) for count in tokens.sums]
    long = sum(share for bar, share in enumerate(shares) if tokens.get_bound(bar) >= tokens.percentile_95)
    priced = usd is not None
    return _build_histogram(
        tokens,
        [share * (usd or 0) for share in shares] if priced else [100 * share for share in shares],
        format_usd if priced else (lambda share: f"{share:.0f}%"),
        key="cost",
        title="Cost by length",
        unit="tokens",
        y_title="Price" if priced else "Share of the tokens",
        note=note,
        summary=f"Examples of {format_number(tokens.percentile_95)} tokens or more: {long:.0%} of the cost."
        if long
        else "",
        more=("Share of tokens", [f"{share:.1%}" for share in shares]),
    )


def _build_histogram(
    values: Distribution,
    heights: Sequence[float],
    format_height: Callable[..., str],
    *,
    key: str,
    title: str,
    unit: str,
    y_title: str,
    note: str,
    summary: str,
    more: tuple[str, list[str]] | None = None,
) -> Histogram:
    ranges = [_format_range(values, bar) for bar in range(len(values.counts))]
    columns = [ranges, [format_height(height) for height in heights], *([more[1]] if more else [])]
    rows = list(zip(*columns, strict=True))
    top = find_axis_end(max(heights))
    return Histogram(
        key=key,
        title=title,
        x_title=f"{unit.capitalize()} per example",
        y_title=y_title,
        note=note,
        summary=summary,
        bars=_build_bars(heights, top, [f"{row[0]} {unit}: {', '.join(row[1:])}" for row in rows]),
        x_ticks=_build_ticks(values),
        y_labels=tuple(format_height(int(value) if value == int(value) else value) for value in (top, top / 2, 0)),
        head=(unit.capitalize(), y_title, *([more[0]] if more else [])),
        rows=tuple(row for row, count in zip(rows, values.counts, strict=True) if count),
    )


def _build_bars(heights: Sequence[float], top: float, labels: Sequence[str]) -> tuple[Bar, ...]:
    column = 100 / max(len(heights), MIN_COLUMNS)
    shown = [max(height * 100 / top, _LEAST_HEIGHT) if height else 0.0 for height in heights]
    return tuple(
        Bar(
            x=round((bar + 0.06) * column, 3),
            y=round(100 - height, 2),
            width=round(0.88 * column, 3),
            height=round(height, 2),
            label=label,
        )
        for bar, (height, label) in enumerate(zip(shown, labels, strict=True))
        if height
    )


def _build_ticks(values: Distribution) -> tuple[AxisTick, ...]:
    """Label about six bars: below its middle if a bar is one value, else at its left edge."""
    bars = len(values.counts)
    column, step = 100 / max(bars, MIN_COLUMNS), -(-bars // _MAX_LABELS)
    numbers = list(range(0, bars if values.open_bar is None else bars - 1, step))
    if values.open_bar is not None:
        numbers = [bar for bar in numbers if bar <= values.open_bar - step] + [values.open_bar]
    elif values.width > 1:
        numbers.append(bars)  # the end of the last bar
        numbers = [bar for bar in numbers if bar == bars or bar <= bars - max(step // 2, 1)]
    shift = 0.5 if values.width == 1 else 0.0
    return tuple(
        _build_tick((bar + shift) * column, format_number(values.get_bound(bar)), bar == values.open_bar)
        for bar in numbers
    )


def _build_tick(x: float, label: str, is_open: bool) -> AxisTick:
    low, high = _LABELS_INSIDE
    anchor = "start" if x < low else "end" if x > high else "middle"
    return AxisTick(x=round(min(x, 100), 3), label=f"≥ {label}" if is_open else label, anchor=anchor)


def find_axis_end(highest: float) -> float:
    """Return the end of an axis: the smallest of 1, 2, 4, 6, 8 or 10 times a power of ten not below `highest`."""
    if isinstance(highest, int):
        highest = max(highest, 2)  # the middle of an axis of examples is a whole number
    power = 10.0 ** floor(log10(highest)) if highest > 0 else 1.0
    end = next(factor * power for factor in (1, 2, 4, 6, 8, 10) if factor * power >= highest * (1 - 1e-9))
    return float(f"{end:.6g}")


def _format_range(values: Distribution, bar: int) -> str:
    bound = values.get_bound(bar)
    if bar == values.open_bar:
        return f"{format_number(bound)} or more"
    if values.width == 1:
        return format_number(bound)
    return f"{format_number(bound)} to {format_number(bound + values.width - 1)}"
