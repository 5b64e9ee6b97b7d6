"""The start page: progress of the run, accounts that need attention, model ids and cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from orchestrator.core.account import Account
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.job_sort_order import JobColumn, JobSortOrder
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.plans.retirement import days_left
from orchestrator.core.plans.spending import Amount
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import (
    format_count,
    format_days_left,
    format_duration,
    format_number,
    format_remaining_time,
    format_usd,
)
from orchestrator.status import HELD, Health, JobListing, RunOverview, RunView
from orchestrator.web.dashboard.attention import (
    AttentionItem,
    Notice,
    build_attention_items,
    build_delivery_notices,
    build_notices,
    build_warning_notices,
)
from orchestrator.web.dashboard.costs_page import format_amount
from orchestrator.web.dashboard.export_menu import ExportGroup, build_export_groups
from orchestrator.web.dashboard.job_row import JobRow
from orchestrator.web.dashboard.job_table import ActiveFilter, ColumnHeading, build_active_filters, build_columns
from orchestrator.web.dashboard.page_query import PageQuery, PaginatedView
from orchestrator.web.dashboard.state_display import BarSegment, FilterChip, build_chips, build_segments


class RunPrice(Struct, frozen=True):
    """Estimated prices as text; jobs without a known price are counted beside the sum of the others."""

    planned: str
    submitted: str


class RunPage(PaginatedView, frozen=True, kw_only=True):
    """View of the page."""

    run: RunView | None
    current: bool  # whether it is the run that the accounts file describes
    headline: str
    tone: str  # CSS class of the headline's colour
    ready: int  # number of models that are ready
    total: int  # number of jobs
    attention_count: int  # number of accounts that need an operator
    price: RunPrice
    time_left: str | None  # estimate; None: unknown
    first_retirement: str | None  # day on which the first model retires; None: unknown
    retires_in: str
    time_range: str  # uncertainty of the estimate
    segments: tuple[BarSegment, ...]
    chips: tuple[FilterChip, ...]
    columns: tuple[ColumnHeading, ...]
    active_filters: tuple[ActiveFilter, ...]
    providers: tuple[str, ...]
    labels: tuple[str, ...]
    notices: tuple[Notice, ...]
    attention_items: tuple[AttentionItem, ...]
    rows: tuple[JobRow, ...]
    export_groups: tuple[ExportGroup, ...]

    @property
    def retirement_href(self) -> str:
        """URL of the table sorted by the date on which the models retire."""
        return self.query.with_changes(order=JobSortOrder(JobColumn.RETIRES)).href

    def page_href(self, page: int) -> str:
        """Return the URL of another page with the same filter."""
        return replace(self.query, page=page).href


def build_run_page(
    overview: RunOverview | None,
    job_page: JobListing | None,
    health: Health,
    query: PageQuery,
    now: float,
    *,
    failed_deliveries: int = 0,
    accounts: Mapping[str, Account] = MappingProxyType({}),
) -> RunPage:
    """Build the start page; `job_page` has the rows that `query` selects, `accounts` those of the accounts file."""
    run = overview.run if overview else None
    end = overview.estimate_end(now) if overview and overview.current else None
    headline, tone = describe_progress(overview)
    retirement = overview.first_retirement if overview else None
    return RunPage(
        query=query,
        run=run,
        current=overview is not None and overview.current,
        headline=headline,
        tone=tone,
        ready=overview.counts.get(JobState.SUCCEEDED, 0) if overview else 0,
        total=overview.total if overview else 0,
        attention_count=overview.needs_attention if overview else 0,
        price=_build_price(overview),
        time_left=format_remaining_time(end - now) if end is not None else None,
        first_retirement=retirement.isoformat() if retirement else None,
        retires_in=format_days_left(days_left(retirement, now)) if retirement else "",
        time_range=_format_range(overview, now) if overview and end is not None else "",
        segments=build_segments(overview.counts) if overview else (),
        chips=build_chips(job_page.counts, query) if job_page else (),
        columns=build_columns(query),
        active_filters=build_active_filters(query),
        providers=tuple(sorted({each.provider for each in overview.state_counts})) if overview else (),
        labels=overview.labels if overview else (),
        notices=tuple(_list_notices(overview, health, failed_deliveries)),
        attention_items=build_attention_items(overview.problem_groups, query.run) if overview else (),
        rows=tuple(JobRow.from_job(job, run, now, accounts.get(job.account)) for job in job_page.jobs)
        if job_page
        else (),
        export_groups=build_export_groups(query),
        match_count=job_page.total if job_page else 0,
    )


def _build_price(overview: RunOverview | None) -> RunPrice:
    if overview is None:
        return RunPrice("unknown", "unknown")
    planned = Amount(
        usd=sum(each.usd for each in overview.state_counts),
        known=sum(each.count - each.unpriced for each in overview.state_counts),
        unknown=sum(each.unpriced for each in overview.state_counts),
    )
    submitted = overview.submitted_usd
    created = Amount(
        usd=sum(each.submitted_usd for each in overview.state_counts),
        known=planned.known,
        unknown=sum(each.unknown for each in overview.state_counts),
    )
    whole = overview.run.planned_usd
    return RunPrice(
        planned=format_amount(planned, "unknown") if whole is None else format_usd(whole),
        submitted=format_amount(created, "unknown") if submitted is None else format_usd(submitted),
    )


def _list_notices(overview: RunOverview | None, health: Health, failed_deliveries: int) -> Iterator[Notice]:
    yield from build_notices(overview.run if overview and overview.current else None, health)
    yield from build_warning_notices(overview.warnings if overview else ())
    yield from build_delivery_notices(failed_deliveries)


def _format_range(overview: RunOverview, now: float) -> str:
    """Format the range of the estimated end, or state that there is not enough data for one."""
    if overview.end_range is None:
        return "estimated; not enough finished jobs for a range"
    earliest, latest = overview.end_range.earliest - now, overview.end_range.latest - now
    if latest < 1:
        return "estimated; longer than the finished jobs"
    return f"estimated; {format_duration(earliest)} to {format_duration(latest)}"


def describe_progress(overview: RunOverview | None) -> tuple[str, str]:
    """Return a summary of the run's state in a few words, and its tone."""
    if overview is None:
        return "No run yet", "calm"
    if not overview.current:
        return "An earlier run", "off"
    if overview.run.holds:
        return _held_headline(overview.run)
    if overview.needs_attention:
        return format_count(overview.needs_attention, "account") + (
            " needs attention" if overview.needs_attention == 1 else " need attention"
        ), "bad"
    return _progress_headline(overview)


def _held_headline(run: RunView) -> tuple[str, str]:
    if {hold.kind for hold in run.holds} != {HoldKind.MODERATING}:
        return "The run is on hold", "warn"
    progress = (run.moderation or {}).get("progress") or {}
    if progress.get("retry_at"):
        return "The moderation service is not responding", "warn"
    return "The chats are being moderated", "busy"


def _progress_headline(overview: RunOverview) -> tuple[str, str]:
    ready = overview.counts.get(JobState.SUCCEEDED, 0)
    if ready == overview.total:
        return ("All models are ready", "good") if ready else ("No accounts", "calm")
    if all(state in {*TERMINAL_STATES, HELD} for state in overview.counts):
        return f"Finished: {format_number(ready)} of {format_number(overview.total)} models ready", "off"
    if not overview.run.started:
        return "The files are uploaded. Start the training here or with `orchestrator start`.", "calm"
    if affected := sum(group.count for group in overview.warnings):
        return format_count(affected, "job") + (" has a warning" if affected == 1 else " have warnings"), "warn"
    return "In progress", "busy"
