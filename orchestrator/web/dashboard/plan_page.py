"""The plan page: the next step and price of each account, from the database. It sends no request to a provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.core.errors import Failure
from orchestrator.core.jobs.lifecycle import UNSUBMITTED_STATES, JobState
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_count
from orchestrator.status import HELD, Health, JobListing, JobView, RunOverview, RunView, StateCount
from orchestrator.web.dashboard.attention import Notice, build_notices
from orchestrator.web.dashboard.page_query import PageQuery, PaginatedView
from orchestrator.web.dashboard.state_display import STATE_TONES, displayed_state
from orchestrator.web.template_filters import format_identifier

_STEP_TEXTS: Final[Mapping[str, str]] = {
    JobState.PLANNED: "upload the file, then train",
    JobState.UPLOADING: "upload the file, then train",
    JobState.PROCESSING: "train once the provider has validated the file",
    JobState.READY: "train",
    JobState.SUCCEEDED: "done",
    JobState.FAILED: "failed; waits for a retry",
    JobState.CANCELLED: "cancelled",
    JobState.CANCELLING: "being cancelled",
    HELD: "on hold",
}
_IN_PROGRESS_TEXT: Final = "in progress at the provider"
_ENDED_GROUP: Final = "Failed or cancelled"
_STATE_GROUPS: Final = (
    ("To be trained", "calm", frozenset(UNSUBMITTED_STATES)),
    ("In progress", "busy", frozenset({JobState.SUBMITTING, JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING})),
    ("Done", "good", frozenset({JobState.SUCCEEDED})),
    ("On hold", "warn", frozenset({HELD})),
    (_ENDED_GROUP, "bad", frozenset({JobState.FAILED, JobState.CANCELLED})),
)


class PlanGroup(Struct, frozen=True, kw_only=True):
    """Accounts in the same group of states, and the estimated price of their jobs.

    For failed and cancelled jobs only the price of those that were submitted counts.
    """

    name: str
    tone: str
    count: int
    usd: float


class PlanRow(Struct, frozen=True, kw_only=True):
    """Row of the table: the next step of an account's job."""

    account: str
    provider: str
    base_model: str
    step: str
    tone: str
    usd: float | None
    hold: Failure | None


class PlanPage(PaginatedView, frozen=True, kw_only=True):
    """View of the page. `submitted_usd` is the estimated price of all submitted jobs; None if it is unknown."""

    run: RunView | None
    total: int
    notices: tuple[Notice, ...]
    warnings: tuple[str, ...]
    submitted_usd: float | None
    groups: tuple[PlanGroup, ...]
    specs: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    rows: tuple[PlanRow, ...]

    def page_href(self, page: int) -> str:
        """Return the URL of another page with the same filter."""
        return replace(self.query, page=page).href_for("/plan")


def build_plan_page(
    overview: RunOverview | None, job_page: JobListing | None, health: Health, query: PageQuery
) -> PlanPage:
    """Build the plan page of a run."""
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
    warnings = []
    if overview.run.planned_usd is None:
        warnings.append("Some accounts have no known price.")
    if moderation.get("state") == "waived":
        warnings.append(f"Chats are not moderated: waived by {moderation['by']} ({moderation['reason']}).")
    if held := overview.counts.get(HELD, 0):
        warnings.append(f"On hold: {format_count(held, 'account')}. No requests are sent until the hold is released.")
    return warnings


def _build_groups(state_counts: Sequence[StateCount]) -> tuple[PlanGroup, ...]:
    groups = []
    for name, tone, states in _STATE_GROUPS:
        members = [each for each in state_counts if each.state in states]
        if members:
            count = sum(each.count for each in members)
            usd = sum(each.usd if name != _ENDED_GROUP else each.submitted_usd for each in members)
            groups.append(PlanGroup(name=name, tone=tone, count=count, usd=usd))
    return tuple(groups)


def _format_spec(spec: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((format_identifier(name), value) for name, value in spec.items() if value is not None)


def _build_row(job: JobView) -> PlanRow:
    state = displayed_state(job)
    return PlanRow(
        account=job.account,
        provider=job.provider,
        base_model=job.base_model,
        step=_STEP_TEXTS.get(state, _IN_PROGRESS_TEXT),
        tone=STATE_TONES[state],
        usd=job.estimated_usd,
        hold=job.error if job.held else None,
    )
