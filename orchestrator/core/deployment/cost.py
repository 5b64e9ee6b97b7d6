"""What deployments cost: per hour, per token, planned and so far. An unknown price is None, never a guess."""

# Costs are upper bounds, so that a budget stops before the money is spent: all replicas count, from the moment of the
# create (several providers bill from the first answered request on), and a begun minute counts as a whole one.
#
# A deployment that is requested again has the times and the price of its latest round only. What the rounds before it
# cost is therefore added up when the next one starts (`add_ended_round`): otherwise each redeployment would give the
# budget back. A budget can be one per month, and a model can be deployed again every night, so the sum of the latest
# month is kept as well.

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Any, Final

from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.deployment_spec import SECONDS_PER_HOUR, DeploymentKind, DeploymentSpec
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.plans.budget import ROUNDING_USD, month_start
from orchestrator.core.structs import Struct, replace

BILLING_STEP_SECONDS: Final = 60.0
ROUNDING_TOLERANCE_SECONDS: Final = 0.001  # of times that were added up as floating-point numbers


class DeploymentPrice(Struct, frozen=True, kw_only=True):
    """The price of one way of deploying a model. None: unknown. A way per token has 0 USD per hour."""

    kind: DeploymentKind
    usd_per_hour: float | None  # of one replica
    usd_per_million_input: float | None = None
    usd_per_million_output: float | None = None
    source: str = "unknown"


class DeploymentOption(Struct, frozen=True, kw_only=True):
    """One way in which a provider can serve a model."""

    price: DeploymentPrice
    hardware: str | None = None
    shape: str | None = None
    config: str | None = None
    precision: str | None = None


def calculate_hosting_usd(usd_per_hour: float | None, seconds: float, replicas: int = 1) -> float | None:
    """Calculate the price of hosting in US dollars; begun minutes are whole ones. None: the price is unknown."""
    if usd_per_hour is None:
        return None
    steps = max(0, ceil((seconds - ROUNDING_TOLERANCE_SECONDS) / BILLING_STEP_SECONDS))
    return usd_per_hour * replicas * steps * BILLING_STEP_SECONDS / SECONDS_PER_HOUR


def calculate_token_usd(price: DeploymentPrice, input_tokens: int, output_tokens: int) -> float | None:
    """Calculate the price of calls in US dollars; None if a price that is needed is unknown."""
    parts = [(input_tokens, price.usd_per_million_input), (output_tokens, price.usd_per_million_output)]
    total = 0.0
    for tokens, usd_per_million in parts:
        if tokens and usd_per_million is None:
            return None
        total += tokens * (usd_per_million or 0.0) / 1_000_000
    return total


def estimate_deployment_usd(spec: DeploymentSpec, usd_per_hour: float | None) -> float | None:
    """Estimate what a deployment costs until it expires, without its calls; None: the price is unknown."""
    return calculate_hosting_usd(usd_per_hour, spec.keep_seconds, spec.billed_replicas)


def calculate_committed_usd(deployment: Deployment) -> float | None:
    """Return what the latest round can cost from its create to its expiry or end; 0 before the create."""
    if deployment.create_started_at is None:
        return 0.0
    end = deployment.ended_at if deployment.ended_at is not None else deployment.expires_at
    return _calculate_until(deployment, end)


def add_ended_round(deployment: Deployment, *, now: float) -> dict[str, Any]:
    """Return the costs of the earlier rounds with that of the latest round, which ends at `now` if it has not ended.

    They are the fields of the deployment that change. A round without a create or without a known price adds nothing.
    """
    ended_at = now if deployment.ended_at is None else deployment.ended_at
    usd, started_at = calculate_committed_usd(replace(deployment, ended_at=ended_at)), deployment.create_started_at
    if not usd or started_at is None:
        return {}
    return {
        "earlier_usd": (deployment.earlier_usd or 0.0) + usd,
        "earlier_month_usd": get_earlier_usd_since(deployment, month_start(started_at)) + usd,
        # The later of both, in case the clock was set back: then a budget counts too much rather than too little.
        "earlier_started_at": max(started_at, deployment.earlier_started_at or 0.0),
    }


def get_earlier_usd_since(deployment: Deployment, since: float) -> float:
    """Return what the earlier rounds cost that were created in the month that starts at `since`, the latest month."""
    if deployment.earlier_started_at is None or deployment.earlier_started_at < since:
        return 0.0
    return deployment.earlier_month_usd or 0.0


def calculate_cost_so_far(deployment: Deployment, now: float) -> float | None:
    """Return what the deployment has cost at most until `now`, without its calls."""
    if deployment.create_started_at is None:
        return 0.0
    return _calculate_until(deployment, now if deployment.ended_at is None else deployment.ended_at)


def _calculate_until(deployment: Deployment, end: float | None) -> float | None:
    if end is None or deployment.create_started_at is None:
        return None
    seconds = end - deployment.create_started_at
    return calculate_hosting_usd(deployment.usd_per_hour, seconds, deployment.spec.billed_replicas)


def sort_deployment_options(options: Iterable[DeploymentOption]) -> list[DeploymentOption]:
    """Sort the ways of deploying a model: without an hourly price first, then the cheapest, unknown prices last."""

    def rank(option: DeploymentOption) -> tuple[bool, float, str, str, str]:
        price = option.price.usd_per_hour
        texts = (option.config or "", option.shape or "", option.hardware or "")
        return (price is None, price or 0.0, *texts)

    return sorted(options, key=rank)


def find_price_hold(
    spec: DeploymentSpec,
    usd_per_hour: float | None,
    *,
    budget_left_usd: float | None = None,
    run_left_usd: float | None = None,
    is_approved: bool = False,
) -> Hold | None:
    """Return the hold of a deployment whose price is unknown or above what is left; None if it may be created.

    `budget_left_usd` is the rest of the account's `budget_usd`, `run_left_usd` that of `max_total_usd`; None:
    no limit. As for jobs, an approval accepts an unknown price and the limit of the run, never that of the account.
    """
    estimate = estimate_deployment_usd(spec, usd_per_hour)
    if estimate is None:
        reason = f"the price per hour of the deployment is unknown, and it would run for {spec.keep_hours:g} hours"
        hint = "Look the price up at the provider, then approve the deployment or withdraw it."
        return None if is_approved else Hold(HoldKind.PRICE_UNKNOWN, reason, hint)
    reason = (
        f"the deployment would cost {estimate:.2f} USD ({usd_per_hour:.2f} USD an hour, {spec.keep_hours:g} hours, "
        f"replicas: {spec.billed_replicas})"
    )
    smaller = "Lower `keep_hours` or `max_replicas`,"
    if budget_left_usd is not None and estimate > budget_left_usd + ROUNDING_USD:
        reason += f", and {max(budget_left_usd, 0.0):.2f} USD of the account's budget are left"
        return Hold(HoldKind.OVER_BUDGET, reason, f"{smaller} raise `budget_usd`, or withdraw it.")
    if run_left_usd is not None and estimate > run_left_usd + ROUNDING_USD and not is_approved:
        reason += f", and {max(run_left_usd, 0.0):.2f} USD of the run's limit are left"
        return Hold(HoldKind.RUN_TOO_EXPENSIVE, reason, f"{smaller} raise `max_total_usd`, or approve it.")
    return None


def build_superseded_hold(spec: DeploymentSpec, usd_per_hour: float | None) -> Hold:
    """Build the hold of a deployment whose run was replaced while it waited. An approval accepts its price."""
    estimate = estimate_deployment_usd(spec, usd_per_hour)
    price = f"{spec.keep_hours:g} hours at an unknown price" if estimate is None else f"{estimate:.2f} USD"
    return Hold(
        HoldKind.SUPERSEDED,
        f"a newer run replaced the run of its model, so no `max_total_usd` limits what it costs: {price}",
        "Approve the deployment or withdraw it. It continues if the accounts file describes the run again.",
    )
