"""The timeline page: one bar for each account, and a summary of where the time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from orchestrator.core.jobs.job_sort_order import DEFAULT_ORDER, JobColumn, JobSortOrder
from orchestrator.core.jobs.timeline import PHASE_DESCRIPTIONS, HoldSpan, PhaseSpan
from orchestrator.core.structs import Struct
from orchestrator.core.text import format_exact_duration, format_percent
from orchestrator.status import RunTimeline, TimelineRow
from orchestrator.web.dashboard.page_query import PageQuery

MAX_BARS: Final = 1000  # of one page; a filter selects others
BAR_LENGTH: Final = 1000  # units of the SVG drawing from the first upload to the last end
MAX_TICKS: Final = 6
_ONE_PERCENT: Final = 0.01
_TICK_SECONDS: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800),
    *(3600, 2 * 3600, 4 * 3600, 6 * 3600, 12 * 3600),
    *(86_400, 2 * 86_400, 7 * 86_400),
)
DEFAULT_TIMELINE_ORDER: Final = JobSortOrder(JobColumn.START)
_COLUMN_TITLES: Final[Mapping[JobColumn, str]] = {
    JobColumn.START: "Start",
    JobColumn.DURATION: "Duration",
    JobColumn.ACCOUNT: "Account",
}


class Segment(Struct, frozen=True):
    """A part of a bar, in units of its length."""

    phase: str  # phase, or "held"
    start: float
    length: float
    text: str  # what it shows, for a pointer that rests on it


class TimelineBar(Struct, frozen=True, kw_only=True):
    """The bar of one account."""

    account: str
    provider: str
    state: str
    segments: tuple[Segment, ...]
    holds: tuple[Segment, ...]
    description: str  # the bar in words
    duration: str
    longest: str  # phase with the most time


class PhaseLine(Struct, frozen=True, kw_only=True):
    """One line of the summary."""

    phase: str
    name: str
    description: str
    share: str
    share_length: float  # of a bar of BAR_LENGTH
    total: str
    median: str
    longest: str
    longest_account: str
    jobs: int


class Tick(Struct, frozen=True, kw_only=True):
    """A mark of the time axis, in units of the bars' length."""

    position: float
    label: str


class OrderLink(Struct, frozen=True, kw_only=True):
    """A link that sorts the bars; a second click reverses the order."""

    column: str
    label: str
    href: str
    direction: Literal["ascending", "descending"] | None  # None: the bars are not sorted by this column


class TimelinePage(Struct, frozen=True, kw_only=True):
    """View of the page."""

    query: PageQuery
    order: JobSortOrder
    run: str | None
    summary: str
    lines: tuple[PhaseLine, ...]
    has_holds: bool  # whether a hold is drawn below a phase that went on meanwhile
    ticks: tuple[Tick, ...]
    bars: tuple[TimelineBar, ...]
    order_links: tuple[OrderLink, ...]
    total: int  # number of matching jobs, also of those without a bar


def parse_order(text: str) -> JobSortOrder:
    """Return the order of the bars that a URL names; without one, or by another column, it is the start."""
    order = JobSortOrder.parse(text) if text else DEFAULT_TIMELINE_ORDER
    return order if order.column in _COLUMN_TITLES else DEFAULT_TIMELINE_ORDER


def build_timeline_page(timeline: RunTimeline | None, query: PageQuery, order: JobSortOrder) -> TimelinePage:
    """Build the page with the bars in this order."""
    rows = _sort_rows(timeline.rows if timeline else (), order)
    # A run may wait for days for its approval. The axis begins with the first upload, so that such a wait does not
    # squeeze the rest; the summary counts it.
    first = min((row.timeline.work_start for row in rows), default=0.0)
    last = max((row.timeline.end for row in rows), default=first)
    axis = _Axis(first, max(last, first + 1))
    return TimelinePage(
        query=query,
        order=order,
        run=timeline.run_name if timeline else None,
        summary=_summarise(timeline),
        lines=_build_lines(timeline),
        has_holds=any(row.timeline.holds for row in rows),
        ticks=axis.build_ticks() if rows else (),
        bars=tuple(_build_bar(row, axis) for row in rows),
        order_links=tuple(_build_order_link(column, query, order) for column in _COLUMN_TITLES),
        total=timeline.total if timeline else 0,
    )


class _Axis(Struct, frozen=True):
    first: float
    last: float

    def position(self, at: float) -> float:
        fraction = (at - self.first) / (self.last - self.first)
        return round(BAR_LENGTH * min(max(fraction, 0.0), 1.0), 1)

    def build_ticks(self) -> tuple[Tick, ...]:
        length = self.last - self.first
        step = next((each for each in _TICK_SECONDS if length / each <= MAX_TICKS), length)
        marks = [number * step for number in range(int(length // step) + 1)]
        return tuple(
            Tick(position=self.position(self.first + mark), label=format_exact_duration(mark)) for mark in marks
        )


def _build_order_link(column: JobColumn, query: PageQuery, order: JobSortOrder) -> OrderLink:
    if order.column is column:
        target = order.select_column(column)
    else:  # the longest bars first
        target = JobSortOrder(column, descending=column is JobColumn.DURATION)
    return OrderLink(
        column=column,
        label=_COLUMN_TITLES[column],
        href=query.with_changes(order=DEFAULT_ORDER).href_for("/timeline", sort=target.text),
        direction=None if order.column is not column else "descending" if order.descending else "ascending",
    )


def _sort_rows(rows: Sequence[TimelineRow], order: JobSortOrder) -> list[TimelineRow]:
    """Sort by the exact times of the bars. The database selects the rows by the time of submission."""
    by_name = sorted(rows, key=lambda row: row.account)
    match order.column:
        case JobColumn.DURATION:
            return sorted(
                by_name, key=lambda row: row.timeline.end - row.timeline.work_start, reverse=order.descending
            )
        case JobColumn.START:
            return sorted(by_name, key=lambda row: row.timeline.work_start, reverse=order.descending)
        case _:
            return by_name[:: -1 if order.descending else 1]


def _summarise(timeline: RunTimeline | None) -> str:
    """Name the phase that takes the most time, in one sentence."""
    if timeline is None or not timeline.phase_totals:
        return ""
    most = timeline.phase_totals[0]
    return (
        f"Most time is spent in the phase {format_phase(most.phase)}: {format_share(most.share)} of the time of all "
        f"accounts, {format_exact_duration(most.median)} in the median account, and at most "
        f"{format_exact_duration(most.longest)}, in {most.longest_account}."
    )


def _build_lines(timeline: RunTimeline | None) -> tuple[PhaseLine, ...]:
    return tuple(
        PhaseLine(
            phase=each.phase,
            name=format_phase(each.phase),
            description=PHASE_DESCRIPTIONS[each.phase],
            share=format_share(each.share),
            share_length=round(BAR_LENGTH * each.share, 1),
            total=format_exact_duration(each.total),
            median=format_exact_duration(each.median),
            longest=format_exact_duration(each.longest),
            longest_account=each.longest_account,
            jobs=each.jobs,
        )
        for each in (timeline.phase_totals if timeline else ())
    )


def format_share(fraction: float) -> str:
    """Format a share of the time; a small one is not shown as nothing."""
    return "under 1%" if 0 < fraction < _ONE_PERCENT else format_percent(fraction)


def format_phase(phase: str) -> str:
    """Format a phase as words."""
    return phase.replace("_", " ")


def _build_bar(row: TimelineRow, axis: _Axis) -> TimelineBar:
    spans, holds = row.timeline.spans, row.timeline.holds
    longest = max(spans, key=lambda span: row.timeline.sum_seconds(span.phase)).phase
    parts = [f"{format_phase(span.phase)} {format_exact_duration(span.seconds)}" for span in spans]
    parts += [f"on hold {format_exact_duration(hold.end - hold.start)}" for hold in holds]
    segments = (_build_segment(span, axis) for span in spans)
    held = (_build_hold(hold, axis) for hold in holds)
    return TimelineBar(
        account=row.account,
        provider=row.provider,
        state=row.state,
        segments=tuple(segment for segment in segments if segment.length),
        holds=tuple(segment for segment in held if segment.length),
        description=", ".join(parts),
        duration=format_exact_duration(row.timeline.end - row.timeline.work_start),
        longest=f"{format_phase(longest)} {format_exact_duration(row.timeline.sum_seconds(longest))}",
    )


def _build_segment(span: PhaseSpan, axis: _Axis) -> Segment:
    start = axis.position(span.start)
    text = f"{format_phase(span.phase)}: {format_exact_duration(span.seconds)}"
    return Segment(span.phase, start, round(axis.position(span.end) - start, 1), text)


def _build_hold(hold: HoldSpan, axis: _Axis) -> Segment:
    start = axis.position(hold.start)
    text = f"on hold: {format_exact_duration(hold.end - hold.start)}"
    return Segment("held", start, round(axis.position(hold.end) - start, 1), text)
