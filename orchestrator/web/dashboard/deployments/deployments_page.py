"""The page of deployments: what is callable, what it costs per hour and so far, and when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.control.deployments import APPROVABLE_HOLD_KINDS
from orchestrator.core.deployment.deployment import StopReason
from orchestrator.core.deployment.deployment_filter import DeploymentFilter
from orchestrator.core.deployment.lifecycle import (
    DEPLOYMENT_STATE_DESCRIPTIONS,
    TERMINAL_DEPLOYMENT_STATES,
    DeploymentState,
)
from orchestrator.core.errors import Failure
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_age, format_count, format_exact_duration, format_timestamp, format_usd
from orchestrator.status import HELD, DeploymentListing, DeploymentTotals, DeploymentView
from orchestrator.web.dashboard.page_query import PageQuery, PaginatedView
from orchestrator.web.dashboard.state_display import STATE_MEANINGS, FilterChip

DEPLOYMENTS_PATH: Final = "/deployments"
EXPIRING_SECONDS: Final = 900.0
"""A deployment that ends within this time is marked."""

DEPLOYMENT_TONES: Final[Mapping[str, str]] = {  # in the order of the filters
    DeploymentState.READY: "good",
    DeploymentState.DEGRADED: "warn",
    DeploymentState.STARTING: "busy",
    DeploymentState.CREATING: "busy",
    DeploymentState.WANTED: "calm",
    DeploymentState.STOPPING: "off",
    DeploymentState.STOPPED: "off",
    DeploymentState.GONE: "warn",
    DeploymentState.FAILED: "bad",
}


class DeploymentTableRow(Struct, frozen=True, kw_only=True):
    """Row of the table."""

    id: str
    account: str
    origin: str  # provider, run and checkpoint
    state: str
    tone: str
    meaning: str
    since: str
    usd_per_hour: str
    price_source: str
    so_far: str
    until_end: str
    ends: str
    ends_at: str  # exact time
    is_expiring: bool
    model_string: str | None
    base_url: str | None
    error: Failure | None
    message: str  # of the error, as a sentence before its hint
    note: str
    can_stop: bool
    can_approve: bool

    @classmethod
    def from_view(cls, view: DeploymentView, now: float) -> DeploymentTableRow:
        """Build the row of a deployment; `now` is Unix time."""
        state = HELD if view.held else view.state
        has_ended = view.state in TERMINAL_DEPLOYMENT_STATES
        is_billed = view.started_at is not None
        left = None if view.expires_at is None or has_ended else view.expires_at - now
        return cls(
            id=view.id,
            account=view.account,
            origin=" · ".join(filter(None, (view.provider, view.run, view.checkpoint, *view.labels))),
            state=state,
            tone="warn" if view.held else DEPLOYMENT_TONES[view.state],
            meaning=STATE_MEANINGS[HELD] if view.held else DEPLOYMENT_STATE_DESCRIPTIONS[DeploymentState(view.state)],
            since=format_age(now - view.state_since),
            usd_per_hour="per token" if view.usd_per_hour == 0 else format_usd(view.usd_per_hour),
            price_source=view.price_source or "",
            so_far=format_usd(view.so_far_usd) if is_billed else "–",
            until_end=_format_until_end(view) if is_billed and not has_ended else "",
            ends=_format_end(view, left),
            ends_at=format_timestamp(end) if (end := view.ended_at or view.expires_at) else "",
            is_expiring=left is not None and left < EXPIRING_SECONDS,
            model_string=view.model_string if view.is_callable else None,
            base_url=view.base_url if view.is_callable else None,
            error=view.error,
            message=f"{view.error.message.removesuffix('.')}." if view.error else "",
            note=_format_note(view),
            can_stop=not has_ended and view.stop_reason in {None, StopReason.CONFLICT},
            can_approve=view.held and view.error is not None and view.error.kind in APPROVABLE_HOLD_KINDS,
        )


class DeploymentsPage(PaginatedView, frozen=True, kw_only=True):
    """View of the page."""

    chips: tuple[FilterChip, ...]
    rows: tuple[DeploymentTableRow, ...]
    total: int  # of all deployments, ended ones included
    rate: str  # what all deployments cost per hour; empty if there are none
    costs: tuple[tuple[str, str], ...]
    warning: str
    can_stop: bool
    can_approve: bool

    def page_href(self, page: int) -> str:
        """Return the URL of another page with the same filter."""
        return replace(self.query, page=page).href_for(DEPLOYMENTS_PATH)


def build_filter(query: PageQuery) -> DeploymentFilter:
    """Build the filter of the list: of a state, else all that have not ended."""
    state = query.state if query.state in set(DeploymentState) else ""
    return DeploymentFilter(state=state, provider=query.provider)


def build_deployments_page(
    listing: DeploymentListing, counts: Mapping[str, int], query: PageQuery, now: float
) -> DeploymentsPage:
    """Build the page of this part of the list. `counts` are those of all deployments by state."""
    rows = tuple(DeploymentTableRow.from_view(view, now) for view in listing.deployments)
    totals = listing.totals
    return DeploymentsPage(
        query=query,
        match_count=listing.total,
        chips=tuple(
            _build_chip(state, counts.get(state, 0), query)
            for state in DEPLOYMENT_TONES
            if counts.get(state) or state == query.state
        ),
        rows=rows,
        total=sum(counts.values()),
        rate=format_usd(totals.usd_per_hour) if totals.count else "",
        costs=tuple(_list_costs(totals).items()) if totals.count else (),
        warning=_format_unpriced(totals),
        can_stop=any(row.can_stop for row in rows),
        can_approve=any(row.can_approve for row in rows),
    )


def _list_costs(totals: DeploymentTotals) -> dict[str, str]:
    return {
        "May be billed": format_count(totals.count, "deployment"),
        "So far": f"at most {format_usd(totals.so_far_usd)}",
        "Until the end": f"at most {format_usd(totals.until_end_usd)}",
    }


def _format_unpriced(totals: DeploymentTotals) -> str:
    if not totals.unpriced:
        return ""
    return f"The price of {format_count(totals.unpriced, 'deployment')} is unknown and not in these sums."


def _format_until_end(view: DeploymentView) -> str:
    return "" if view.until_end_usd is None else format_usd(view.until_end_usd)


def _format_end(view: DeploymentView, left: float | None) -> str:
    if view.ended_at is not None:
        return "ended"
    if left is None:
        return f"{view.keep_hours:g} h after its create"
    return f"in {format_exact_duration(left)}" if left > 0 else "now"


def _format_note(view: DeploymentView) -> str:
    if view.is_account_removed and view.is_billed:
        return "The account is no longer in the accounts file, so the service cannot stop this deployment."
    if view.stop_reason is not None and view.ended_at is None:
        return f"A stop is in progress ({view.stop_reason})."
    if view.comparison is not None and view.ended_at is None:
        return "Deployed for a comparison, which stops it when it ends."
    if view.earlier_usd is not None:
        return f"It was deployed before, for at most {format_usd(view.earlier_usd)}, which the budgets count as well."
    return ""


def _build_chip(state: str, count: int, query: PageQuery) -> FilterChip:
    is_chosen = query.state == state
    return FilterChip(
        state=state,
        label=state,
        tone=DEPLOYMENT_TONES[state],
        meaning=DEPLOYMENT_STATE_DESCRIPTIONS[DeploymentState(state)],
        count=count,
        chosen=is_chosen,
        href=query.with_changes(state="" if is_chosen else state).href_for(DEPLOYMENTS_PATH),
    )
