"""The overview of several runs: each run at a glance, and the state of each account in each of them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_remaining_time, to_percent
from orchestrator.status import Health, JobView, MatrixRow, RunMatrix, RunOverview
from orchestrator.web.dashboard.attention import Notice, build_delivery_notices, build_notices, build_run_notices
from orchestrator.web.dashboard.job_table import ActiveFilter, build_active_filters
from orchestrator.web.dashboard.page_query import PageQuery, PaginatedView
from orchestrator.web.dashboard.run_choice import OVERVIEW_PATH
from orchestrator.web.dashboard.run_page import describe_progress
from orchestrator.web.dashboard.state_display import (
    STATE_MEANINGS,
    STATE_TONES,
    BarSegment,
    FilterChip,
    build_chips,
    build_segments,
    displayed_state,
)
from orchestrator.web.template_filters import format_identifier


class RunCard(Struct, frozen=True, kw_only=True):
    """A run at a glance."""

    id: str
    name: str
    href: str
    query: PageQuery  # selects the run in actions
    started: bool
    headline: str
    tone: str
    ready: int
    total: int
    segments: tuple[BarSegment, ...]
    priority: int
    planned_usd: float | None
    time_left: str | None
    notices: tuple[Notice, ...]  # holds of the run


class MatrixCell(Struct, frozen=True, kw_only=True):
    """The job of an account in a run."""

    run: str
    state: str
    tone: str
    meaning: str
    detail: str  # progress or kind of problem; empty if the state is enough
    href: str


class AccountRow(Struct, frozen=True, kw_only=True):
    """An account with a cell for each run; None where the run does not select it."""

    account: str
    provider: str
    labels: tuple[str, ...]
    cells: tuple[MatrixCell | None, ...]


class OverviewPage(PaginatedView, frozen=True, kw_only=True):
    """View of the page."""

    cards: tuple[RunCard, ...]
    rows: tuple[AccountRow, ...]
    chips: tuple[FilterChip, ...]
    active_filters: tuple[ActiveFilter, ...]
    notices: tuple[Notice, ...]
    ready: int  # number of models that are ready, in all runs
    total: int  # number of jobs of all runs

    @property
    def clear_href(self) -> str:
        """URL of the page without a filter."""
        return OVERVIEW_PATH

    def page_href(self, page: int) -> str:
        """Return the URL of another page with the same filter."""
        return replace(self.query, page=page).href_for(OVERVIEW_PATH)


def build_overview_page(
    overviews: Sequence[RunOverview],
    matrix: RunMatrix,
    health: Health,
    query: PageQuery,
    now: float,
    *,
    failed_deliveries: int = 0,
) -> OverviewPage:
    """Build the page from the current runs, in their order, and a page of their accounts."""
    names = {each.run.id: each.run.name for each in overviews}
    cards = tuple(_build_card(each, now) for each in overviews)
    return OverviewPage(
        query=query,
        match_count=matrix.total,
        cards=cards,
        rows=tuple(_build_row(row, [names.get(run, "") for run in matrix.run_ids]) for row in matrix.rows),
        chips=tuple(
            replace(chip, href=query.with_changes(state="" if chip.chosen else chip.state).href_for(OVERVIEW_PATH))
            for chip in build_chips(matrix.counts, query)
        ),
        active_filters=tuple(
            replace(each, href=query.with_changes(**{each.name: ""}).href_for(OVERVIEW_PATH))
            for each in build_active_filters(query)
        ),
        notices=(*build_notices(None, health), *build_delivery_notices(failed_deliveries)),
        ready=sum(card.ready for card in cards),
        total=sum(card.total for card in cards),
    )


def _build_card(overview: RunOverview, now: float) -> RunCard:
    headline, tone = describe_progress(overview)
    if tone == "warn" and overview.run.holds:  # the card has the reason as well, and not much space
        headline = "On hold"
    end = overview.estimate_end(now)
    query = PageQuery(run=overview.run.name)
    return RunCard(
        id=overview.run.id,
        name=overview.run.name,
        href=query.href,
        query=query,
        started=overview.run.started,
        headline=headline,
        tone=tone,
        ready=overview.counts.get(JobState.SUCCEEDED, 0),
        total=overview.total,
        segments=build_segments(overview.counts),
        priority=overview.run.priority,
        planned_usd=overview.run.planned_usd,
        time_left=format_remaining_time(end - now) if end is not None else None,
        notices=tuple(build_run_notices(overview.run)),
    )


def _build_row(row: MatrixRow, names: Sequence[str]) -> AccountRow:
    return AccountRow(
        account=row.account,
        provider=row.provider,
        labels=row.labels,
        cells=tuple(_build_cell(job, name) if job else None for job, name in zip(row.jobs, names, strict=True)),
    )


def _build_cell(job: JobView, run_name: str) -> MatrixCell:
    state = displayed_state(job)
    problem = job.error or job.warning
    meaning = f"{problem.message} {problem.hint}".strip() if problem else STATE_MEANINGS[state]
    return MatrixCell(
        run=run_name,
        state=state,
        tone=STATE_TONES[state],
        meaning=meaning,
        detail=_describe_detail(job),
        href=f"/accounts/{job.account}?{urlencode({'run': run_name})}",
    )


def _describe_detail(job: JobView) -> str:
    """Return the progress of a running job, else the kind of its error or warning."""
    if job.progress is not None and not job.held and job.state not in TERMINAL_STATES:
        return f"{to_percent(job.progress)}%"
    problem = job.error or job.warning
    return format_identifier(problem.kind) if problem else ""
