"""Deployments as people see them: what is callable now, what it costs, and when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.core.deployment.cost import calculate_committed_usd, calculate_cost_so_far
from orchestrator.core.deployment.deployment import Deployment, DeploymentId
from orchestrator.core.deployment.deployment_filter import DeploymentFilter
from orchestrator.core.deployment.lifecycle import MAY_EXIST_STATES
from orchestrator.core.errors import Failure
from orchestrator.core.structs import Struct, asdict
from orchestrator.status.moderation import format_iso
from orchestrator.status.serving import CALLABLE_DEPLOYMENT_STATES
from orchestrator.store.db.database import Database
from orchestrator.store.queries.deployments import deployment_search
from orchestrator.store.queries.deployments.deployment_search import DeploymentRow


class DeploymentView(Struct, frozen=True, kw_only=True):
    """A deployment with everything that clients may see. Times are epoch seconds, prices are USD."""

    id: str
    account: str
    provider: str
    labels: Sequence[str]
    run: str | None
    """Name of the run that created the job; None: it is not known here."""
    job: str | None
    model: str
    """The provider's id of the model, or of the checkpoint."""
    checkpoint: str | None
    kind: str
    """How it is billed: "token" or "hour"."""
    options: dict[str, Any]
    """The other options of the spec."""
    state: str
    """State of the deployment, see docs/states.md."""
    held: bool
    """Whether it is on hold; `error` has the reason."""
    stop_reason: str | None
    """Why it is stopped, once that is requested."""
    comparison: str | None
    """Id of the comparison that it was deployed for, and that stops it when it ends; None: it was not."""
    error: Failure | None
    """Last error, or the reason for the hold."""
    remote_id: str | None
    remote_status: str | None
    model_string: str | None
    """What a client sends as `model`."""
    base_url: str | None
    """Where a client sends it."""
    usd_per_hour: float | None
    """Price of all replicas; 0: not billed by the hour; None: unknown."""
    price_source: str | None
    so_far_usd: float | None
    """What it has cost at most until now, without its calls; None: unknown."""
    until_end_usd: float | None
    """What it can cost at most from its create to its expiry, without its calls; None: unknown."""
    earlier_usd: float | None
    """What it has cost at most before it was requested again, without its calls; None: nothing that is known."""
    keep_hours: float
    created_at: float
    state_since: float
    started_at: float | None
    """When its create was started; it is billed from here on."""
    ready_at: float | None
    expires_at: float | None
    """When the service stops it."""
    ended_at: float | None
    attempts: int
    is_account_removed: bool

    @property
    def is_billed(self) -> bool:
        """Whether something of it may exist at the provider, and so may cost money."""
        return self.state in MAY_EXIST_STATES

    @property
    def is_callable(self) -> bool:
        """Whether a client can call it now."""
        return self.state in CALLABLE_DEPLOYMENT_STATES and self.stop_reason is None


class DeploymentTotals(Struct, frozen=True, kw_only=True):
    """What may cost money now, over all accounts."""

    count: int = 0
    """Number of deployments that may exist at a provider."""
    usd_per_hour: float = 0.0
    """Sum of the known prices."""
    so_far_usd: float = 0.0
    until_end_usd: float = 0.0
    unpriced: int = 0
    """Number of these deployments whose price is unknown."""


class DeploymentListing(Struct, frozen=True, kw_only=True):
    """A page of deployments, sorted by account, with counts of all that match."""

    deployments: tuple[DeploymentView, ...]
    counts: dict[str, int]
    """Number of matching deployments by state."""
    totals: DeploymentTotals
    """Of all deployments, whatever the filter."""
    next: str | None = None
    """Id of the last deployment of this page, if there are more."""

    @property
    def total(self) -> int:
        """Number of matching deployments on all pages."""
        return sum(self.counts.values())


async def list_deployments(
    database: Database,
    wanted: DeploymentFilter,
    now: float,
    *,
    limit: int | None = None,
    after: str = "",
    skip: int = 0,
) -> DeploymentListing:
    """Return the matching deployments after the one with the id `after`; an unknown one is the beginning.

    `skip` omits that many deployments.
    """
    async with database.read() as connection:
        position = await deployment_search.find_position(connection, DeploymentId(after)) if after else None
        rows = await deployment_search.list_page(
            connection, wanted, limit=None if limit is None else limit + 1, after=position or ("", ""), skip=skip
        )
        counts = await deployment_search.count_by_state(connection, wanted)
        billed = await deployment_search.list_billed(connection)
    page = rows if limit is None else rows[:limit]
    return DeploymentListing(
        deployments=tuple(build_deployment_view(row, now) for row in page),
        counts={state.value: count for state, count in sorted(counts.items())},
        totals=sum_deployments(billed, now),
        next=page[-1].deployment.id if len(page) < len(rows) else None,
    )


async def count_deployments(database: Database, wanted: DeploymentFilter) -> dict[str, int]:
    """Count the matching deployments by state."""
    async with database.read() as connection:
        counts = await deployment_search.count_by_state(connection, wanted)
    return {state.value: count for state, count in counts.items()}


def sum_deployments(billed: Sequence[Deployment], now: float) -> DeploymentTotals:
    """Sum what deployments cost that may exist at a provider."""
    rates = [calculate_usd_per_hour(each) for each in billed]
    so_far = [calculate_cost_so_far(each, now) for each in billed]
    until_end = [calculate_committed_usd(each) for each in billed]
    return DeploymentTotals(
        count=len(billed),
        usd_per_hour=sum(rate or 0.0 for rate in rates),
        so_far_usd=sum(usd or 0.0 for usd in so_far),
        until_end_usd=sum(usd or 0.0 for usd in until_end),
        unpriced=rates.count(None),
    )


def calculate_usd_per_hour(deployment: Deployment) -> float | None:
    """Return the price per hour of all replicas; None: it is unknown."""
    if deployment.usd_per_hour is None:
        return None
    return deployment.usd_per_hour * deployment.spec.billed_replicas


def build_deployment_view(row: DeploymentRow, now: float) -> DeploymentView:
    """Build the view of a deployment at the time `now`."""
    source = row.deployment
    spec = source.spec.as_dict()
    keep_hours, kind = spec.pop("keep_hours"), spec.pop("kind")
    is_held = source.hold is not None and source.hold.is_active(now)
    return DeploymentView(
        id=source.id,
        account=source.account,
        provider=source.provider.value,
        labels=row.labels,
        run=row.run,
        job=source.job_id,
        model=source.model,
        checkpoint=source.checkpoint,
        kind=kind,
        options=spec,
        state=source.state.value,
        held=is_held,
        stop_reason=source.stop_reason.value if source.stop_reason else None,
        comparison=source.comparison_id,
        error=source.hold.failure if source.hold and is_held else source.failure,
        remote_id=source.remote_id,
        remote_status=source.remote_status,
        model_string=source.model_string,
        base_url=source.base_url,
        usd_per_hour=calculate_usd_per_hour(source),
        price_source=source.price_source,
        so_far_usd=calculate_cost_so_far(source, now),
        until_end_usd=calculate_committed_usd(source),
        earlier_usd=source.earlier_usd,
        keep_hours=keep_hours,
        created_at=source.created_at,
        state_since=source.state_since,
        started_at=source.create_started_at,
        ready_at=source.ready_at,
        expires_at=source.expires_at,
        ended_at=source.ended_at,
        attempts=source.attempts,
        is_account_removed=row.is_account_removed,
    )


def deployment_to_dict(view: DeploymentView) -> dict[str, Any]:
    """Return the view as plain values with times in ISO 8601."""
    values = {name: getattr(view, name) for name in view.__struct_fields__ if name != "is_account_removed"}
    values |= {"error": asdict(view.error) if view.error else None, "labels": list(view.labels)}
    for name, value in values.items():
        if name.endswith("_at") or name == "state_since":
            values[name] = format_iso(value)
    return values
