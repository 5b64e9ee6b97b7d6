from __future__ import annotations

import pytest

from orchestrator.core.jobs.job_sort_order import JobSortOrder
from orchestrator.core.jobs.timeline import HoldSpan, JobTimeline, Phase, PhaseSpan, sum_phases
from orchestrator.status import RunTimeline, TimelineRow
from orchestrator.web.dashboard.page_query import PageQuery
from orchestrator.web.dashboard.timeline_page import (
    BAR_LENGTH,
    DEFAULT_TIMELINE_ORDER,
    MAX_TICKS,
    build_timeline_page,
    format_share,
    parse_order,
)


def row(account: str, upload: float, training: float, end: float) -> TimelineRow:
    spans = (
        PhaseSpan(Phase.BEFORE_UPLOAD, 0, upload),
        PhaseSpan(Phase.UPLOAD, upload, training),
        PhaseSpan(Phase.TRAINING, training, end),
    )
    timeline = JobTimeline(spans=spans, holds=(HoldSpan(training, end),) if account == "b" else ())
    return TimelineRow(account=account, provider="openai", job=f"job-{account}", state="running", timeline=timeline)


def run_timeline(*rows: TimelineRow) -> RunTimeline:
    totals = sum_phases((each.account, each.timeline) for each in rows)
    return RunTimeline(
        run="run-1", run_name="support", rows=rows, phase_totals=tuple(totals), total=len(rows), next=None
    )


ROWS = run_timeline(row("a", 500_000, 500_010, 500_100), row("b", 500_050, 500_060, 500_200))


@pytest.mark.parametrize(
    ("order", "accounts"),
    [
        ("start", "ab"),
        ("-start", "ba"),
        ("duration", "ab"),
        ("-duration", "ba"),
        ("account", "ab"),
        ("-account", "ba"),
    ],
)
def test_bars_are_sorted(order: str, accounts: str) -> None:
    view = build_timeline_page(ROWS, PageQuery(), parse_order(order))
    assert "".join(bar.account for bar in view.bars) == accounts


def test_order_by_another_column_is_the_start() -> None:
    assert parse_order("") == parse_order("price") == DEFAULT_TIMELINE_ORDER
    assert parse_order("<script>") == JobSortOrder()


def test_order_links_reverse_the_order_and_keep_the_search() -> None:
    view = build_timeline_page(ROWS, PageQuery(text="eu"), parse_order("-duration"))
    assert [(link.column, link.href, link.direction) for link in view.order_links] == [
        ("start", "/timeline?sort=start&q=eu", None),
        ("duration", "/timeline?sort=duration&q=eu", "descending"),
        ("account", "/timeline?sort=account&q=eu", None),
    ]


def test_axis_begins_with_the_first_upload() -> None:
    """A run that waited days for its approval would otherwise show bars of no width."""
    view = build_timeline_page(ROWS, PageQuery(), DEFAULT_TIMELINE_ORDER)
    first = view.bars[0].segments
    assert [(part.phase, part.start, part.length) for part in first] == [("upload", 0, 50), ("training", 50, 450)]
    last = view.bars[1].segments[-1]
    assert last.start + last.length == BAR_LENGTH
    assert view.ticks[0].position == 0
    assert 2 <= len(view.ticks) <= MAX_TICKS + 1
    assert [(part.phase, part.length) for part in view.bars[1].holds] == [("held", 700)]


def test_each_bar_is_described_in_words() -> None:
    bar = build_timeline_page(ROWS, PageQuery(), DEFAULT_TIMELINE_ORDER).bars[1]
    assert bar.description.endswith("upload 10 s, training 2 min 20 s, on hold 2 min 20 s")
    assert bar.duration == "2 min 30 s"


def test_summary_names_the_longest_phase_and_account() -> None:
    view = build_timeline_page(
        run_timeline(row("a", 0, 10, 100), row("b", 0, 10, 200)), PageQuery(), DEFAULT_TIMELINE_ORDER
    )
    assert view.summary == (
        "Most time is spent in the phase training: 93% of the time of all accounts, 2 min 20 s in the median "
        "account, and at most 3 min 10 s, in b."
    )


def test_small_share_is_not_shown_as_nothing() -> None:
    assert [format_share(each) for each in (0, 0.004, 0.02)] == ["0%", "under 1%", "2%"]


def test_page_without_a_run_is_empty() -> None:
    view = build_timeline_page(None, PageQuery(), DEFAULT_TIMELINE_ORDER)
    assert (view.bars, view.lines, view.ticks, view.total) == ((), (), (), 0)
