"""Plan: what the run will do in each account, and at what price, as the database has it. To look asks no provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.core.errors import Failure
from orchestrator.core.jobs.lifecycle import UNSUBMITTED_STATES, JobState
from orchestrator.core.text import format_count
from orchestrator.status import HELD, Health, JobListing, JobView, RunOverview, RunView, StateCount
from orchestrator.web.dashboard.attention import Notice, build_notices
from orchestrator.web.dashboard.page_query import PageQuery, PaginatedView
from orchestrator.web.dashboard.state_display import STATE_TONES, displayed_state
from orchestrator.web.template_filters import format_identifier

_STEP_TEXTS: Final[Mapping[str, str]] = {
    JobState.PLANNED: "upload the file, then train",
    JobState.UPLOADING: "upload the file, then train",
    JobState.PROCESSING: "train when the file is checked",
    JobState.READY: "train",
    JobState.SUCCEEDED: "done: nothing to do",
    JobState.FAILED: "failed: nothing unless it is retried",
    JobState.CANCELLED: "cancelled: nothing",
    JobState.CANCELLING: "being cancelled",
    HELD: "held: nothing until that is over",
}
_UNDER_WAY_TEXT: Final = "under way at the provider"
_ENDED_GROUP: Final = "Failed or cancelled"
_STATE_GROUPS: Final = (
    ("Will be trained", "calm", frozenset(UNSUBMITTED_STATES)),
    ("Under way", "busy", frozenset({JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING})),
    ("Done", "good", frozenset({JobState.SUCCEEDED})),
    ("Held", "warn", frozenset({HELD})),
    (_ENDED_GROUP, "bad", frozenset({JobState.FAILED, JobState.CANCELLED})),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanGroup:
    """Accounts that share a fate, and the price of their jobs: planned, or of what was created where it has ended."""

    name: str
    tone: str
    count: int
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One account: what will happen there."""

    account: str
    provider: str
    base_model: str
    step: str
    tone: str
    usd: float | None
    hold: Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPage(PaginatedView):
    """The page. `submitted_usd` is what was created at the providers, as on the run's page; None is unknown."""

    run: RunView | None
    total: int
    notices: tuple[Notice, ...]
    warnings: tuple[str, ...]
    submitted_usd: float | None
    groups: tuple[PlanGroup, ...]
    specs: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    rows: tuple[PlanRow, ...]

    def page_href(self, page: int) -> str:
        """The address of another page."""
        return replace(self.query, page=page).href_for("/plan")


def build_plan_page(
    overview: RunOverview | None, job_page: JobListing | None, health: Health, query: PageQuery
) -> PlanPage:
    """The plan of the run as it is now."""
    return PlanPage(
        query=query,
        run=overview.run if overview else None,
        total=overview.total if overview else 0,
        notices=tuple(build_notices(overview.run, health)) if overview and overview.current else (),
        warnings=tuple(_build_warnings(overview)) if overview else (),
        submitted_usd=overview.submitted_usd if overview else None,
        groups=_build_groups(overview.state_counts) if overview else (),
        specs=tuple((name, _format_spec(spec)) for name, spec in overview.run.specs.items()) if overview else (),
        rows=tuple(_build_row(job) for job in job_page.jobs) if job_page else (),
        match_count=job_page.total if job_page else 0,
    )


def _build_warnings(overview: RunOverview) -> Sequence[str]:
    moderation = overview.run.moderation or {}
    told = []
    if overview.run.planned_usd is None:
        told.append("No price is known for a part of the run.")
    if moderation.get("state") == "waived":
        told.append(f"The chats are not moderated: {moderation['by']} waived it ({moderation['reason']}).")
    if held := overview.counts.get(HELD, 0):
        told.append(f"{format_count(held, 'account')} held: nothing is sent there.")
    return told


def _build_groups(shares: Sequence[StateCount]) -> tuple[PlanGroup, ...]:
    parts = []
    for name, tone, states in _STATE_GROUPS:
        of_it = [share for share in shares if share.state in states]
        if of_it:
            count = sum(share.count for share in of_it)
            usd = sum(share.usd if name != _ENDED_GROUP else share.submitted_usd for share in of_it)
            parts.append(PlanGroup(name=name, tone=tone, count=count, usd=usd))
    return tuple(parts)


def _format_spec(spec: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((format_identifier(name), value) for name, value in spec.items() if value is not None)


def _build_row(job: JobView) -> PlanRow:
    state = displayed_state(job)
    return PlanRow(
        account=job.account,
        provider=job.provider,
        base_model=job.base_model,
        step=_STEP_TEXTS.get(state, _UNDER_WAY_TEXT),
        tone=STATE_TONES[state],
        usd=job.estimated_usd,
        hold=job.error if job.held else None,
    )
