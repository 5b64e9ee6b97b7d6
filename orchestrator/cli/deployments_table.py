"""Tables of deployments: those that would be requested, and those that exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from orchestrator.app.live_deployments import LiveListing
from orchestrator.cli.output import format_failure
from orchestrator.cli.tables import Column, Output, fit_table
from orchestrator.control import DeploymentPlan
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.text import format_count, format_exact_duration, format_time, format_usd
from orchestrator.status import DeploymentListing, DeploymentTotals, DeploymentView

PLAN_COLUMNS: Final = (
    Column(heading="account"),
    Column(heading="model", importance=1),
    Column(heading="kind", importance=3),
    Column(heading="hours", importance=4),
    Column(heading="USD/hour", importance=5),
    Column(heading="until end"),
    Column(heading="note", wraps=True),
)
DEPLOYMENT_COLUMNS: Final = (
    Column(heading="account"),
    Column(
        heading="state",
        colours={DeploymentState.READY: "green", DeploymentState.FAILED: "red", "held": "yellow"},
    ),
    Column(heading="provider", importance=2),
    Column(heading="USD/hour"),
    Column(heading="so far"),
    Column(heading="until end", importance=4),
    Column(heading="ends"),
    Column(heading="call as", importance=3),
    Column(heading="base URL", importance=1),
    Column(heading="id", importance=0),
    Column(heading="note", importance=9, wraps=True, min_width=18),
)
LIVE_COLUMNS: Final = (
    Column(heading="account"),
    Column(heading="state", colours={"running": "green", "failed": "red"}),
    Column(heading="provider", importance=2),
    Column(heading="USD/hour"),
    Column(heading="so far"),
    Column(heading="ends"),
    Column(heading="id at the provider", importance=3),
    Column(heading="note", importance=9, wraps=True, min_width=18),
)
NO_VALUE: Final = "–"
NOT_RECORDED: Final = (
    "not recorded here; `orchestrator serve` adopts and stops it, once a day and soon after its start"
)


def build_plan_table(plan: DeploymentPlan, width: int | None, *, borders: bool = True) -> Output:
    """Build the table of what would be deployed, with the total price."""
    rows = [
        (
            line.job.account,
            line.model or NO_VALUE,
            line.spec.kind if line.spec else NO_VALUE,
            f"{line.spec.keep_hours:g}" if line.spec else NO_VALUE,
            NO_VALUE if line.obstacle else format_hourly_usd(line.usd_per_hour),
            NO_VALUE if line.obstacle else format_usd(line.usd),
            line.obstacle or ("" if line.price is None else f"price: {line.price.source}"),
        )
        for line in plan.lines
    ]
    return fit_table(PLAN_COLUMNS, rows, width, borders=borders).place_between((), _format_plan_total(plan))


def _format_plan_total(plan: DeploymentPlan) -> Iterator[str]:
    count = len(plan.accepted)
    if not count:
        yield "Nothing to deploy."
        return
    total = format_usd(plan.total_usd)
    yield f"{format_count(count, 'deployment')}, at most {total} until the end, without the calls."
    if plan.unpriced:
        what = format_count(plan.unpriced, "deployment")
        yield (
            f"The price of {what} is unknown: held until you pass --usd-per-hour, or approve it with "
            "`orchestrator deployments --approve`."
        )


def build_deployments_table(
    listing: DeploymentListing, now: float, width: int | None, *, borders: bool = True
) -> Output:
    """Build the table of deployments, with the totals of all of them."""
    rows = [format_deployment_row(view, now) for view in listing.deployments]
    table = fit_table(DEPLOYMENT_COLUMNS, rows, width, borders=borders)
    return table.place_between((), format_totals(listing.totals))


def format_deployment_row(view: DeploymentView, now: float) -> Sequence[str]:
    """Format a deployment as the cells of DEPLOYMENT_COLUMNS."""
    return (
        view.account,
        "held" if view.held else view.state,
        view.provider,
        format_hourly_usd(view.usd_per_hour),
        NO_VALUE if view.started_at is None else format_usd(view.so_far_usd),
        NO_VALUE if view.started_at is None else format_usd(view.until_end_usd),
        format_end(view, now),
        view.model_string or NO_VALUE,
        view.base_url or NO_VALUE,
        view.id,
        format_note(view),
    )


def format_hourly_usd(usd: float | None) -> str:
    """Format a price per hour; one of 0 is that of a deployment that is billed per token."""
    return "per token" if usd == 0 else format_usd(usd)


def format_end(view: DeploymentView, now: float) -> str:
    """Format when the deployment is stopped, or when it ended."""
    if view.ended_at is not None:
        return f"ended {format_time(view.ended_at)}"
    if view.expires_at is None:
        return f"after {view.keep_hours:g} h"  # from its create on
    return format_time_left(view.expires_at, now)


def format_time_left(at: float, now: float) -> str:
    """Format the time until a deployment is stopped."""
    return f"in {format_exact_duration(at - now)}" if at > now else "now"


def format_note(view: DeploymentView) -> str:
    """Format what an operator should know besides the state: the error with its hint, or the reason of the stop."""
    if view.error is not None:
        return format_failure(view.error)
    if view.is_account_removed:
        return "The account is no longer in the accounts file: its deployment cannot be stopped from here."
    if view.stop_reason is not None and view.ended_at is None:
        return f"stop {view.stop_reason}"
    if view.comparison is not None and view.ended_at is None:
        return "stops with its comparison"
    if view.earlier_usd is not None:
        return f"deployed before for at most {format_usd(view.earlier_usd)}"
    return ""


def format_totals(totals: DeploymentTotals) -> list[str]:
    """Format what all deployments cost together."""
    if not totals.count:
        return ["Nothing is billed by the hour."]
    verb = "costs" if totals.count == 1 else "cost"
    so_far, until_end = format_usd(totals.so_far_usd), format_usd(totals.until_end_usd)
    lines = [
        f"{format_count(totals.count, 'deployment')} {verb} {format_usd(totals.usd_per_hour)} an hour: at most "
        f"{so_far} so far, {until_end} until the end, without the calls."
    ]
    if totals.unpriced:
        lines.append(f"The price of {format_count(totals.unpriced, 'deployment')} is unknown and not in these sums.")
    return lines


def build_live_table(listing: LiveListing, now: float, width: int | None, *, borders: bool = True) -> Output:
    """Build the table of what the providers list at this moment."""
    rows = [
        (
            each.account,
            each.remote.status,
            each.provider,
            format_hourly_usd(each.usd_per_hour),
            format_usd(each.calculate_usd(now)),
            NO_VALUE if each.ends_at is None else format_time_left(each.ends_at, now),
            each.remote.id,
            "" if each.record is not None else NOT_RECORDED,
        )
        for each in listing.deployments
    ]
    billed = sum(each.usd_per_hour or 0.0 for each in listing.deployments)
    total = f"{format_count(len(rows), 'deployment')}, {format_usd(billed)} an hour without those of unknown price."
    return fit_table(LIVE_COLUMNS, rows, width, borders=borders).place_between((), [total])
