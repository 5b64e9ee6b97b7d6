"""Chooses how a model is deployed: an operator's options on top of the run's table, and the price of the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS, MAX_KEEP_HOURS, find_spec_problems
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.errors import ConfigError

_CHOSEN_BY_OPTIONS = ("hardware", "shape", "config", "precision")


def build_deployment_spec(
    provider: ProviderName, options: Mapping[str, Any], table: DeploymentSpec | None
) -> DeploymentSpec:
    """Build the spec of `options` on top of the run's table `[run.PROVIDER.deployment]`, or of `options` alone.

    Options of another kind replace the whole table, because most options belong to one kind. Raises ConfigError with
    every problem.
    """
    offer = DEPLOYMENT_OFFERS[provider]
    given = {name: value for name, value in options.items() if value is not None}
    if table is not None and given.get("kind", table.kind) == table.kind:
        given = table.as_dict() | given
    if "kind" not in given and len(offer.kinds) == 1:
        given["kind"] = next(iter(offer.kinds))
    missing = [name for name in ("kind", "keep_hours") if name not in given]
    if missing and not offer.ready_by_itself:
        kinds = " or ".join(offer.kinds)
        raise ConfigError(
            f"a deployment at {provider} needs {' and '.join(f'`{name}`' for name in missing)}",
            hint=f"Pass --kind ({kinds}) and --keep-hours (in the API: `kind` and `keep_hours`), or describe the "
            f"deployment in [run.{provider}.deployment] of the accounts file.",
        )
    spec = DeploymentSpec.from_dict({"kind": DeploymentKind.TOKEN, "keep_hours": 1.0} | given)
    problems = [f"{option or 'a deployment'} {why}" for option, why in find_spec_problems(provider, spec)]
    if not (isfinite(spec.keep_hours) and 0 < spec.keep_hours <= MAX_KEEP_HOURS):
        problems.append(f"keep_hours must be above 0 and at most {MAX_KEEP_HOURS:g}")
    if problems:
        hint = "Correct the options; docs/how-to/deploy-models.md lists those of each provider."
        raise ConfigError(f"models of {provider} cannot be deployed in this way", problems=problems, hint=hint)
    return spec


def find_option_price(spec: DeploymentSpec, options: Iterable[DeploymentOption]) -> DeploymentPrice:
    """Return the price of the spec by the provider's options; that of the most expensive one if several match.

    The provider chooses among them, and a budget must hold for each choice. The price is unknown if that of one of
    them is, or if none matches.
    """
    if spec.kind is DeploymentKind.TOKEN:
        return DeploymentPrice(kind=spec.kind, usd_per_hour=0.0, source="billed per token")
    prices = [option.price for option in options if option.price.kind is spec.kind and _matches(spec, option)]
    if not prices or any(price.usd_per_hour is None for price in prices):
        return DeploymentPrice(kind=spec.kind, usd_per_hour=None)
    return max(prices, key=lambda price: price.usd_per_hour or 0.0)


def _matches(spec: DeploymentSpec, option: DeploymentOption) -> bool:
    """Return whether the option has every value that the spec fixes; what an option does not state may match."""
    values = [(getattr(spec, name), getattr(option, name)) for name in _CHOSEN_BY_OPTIONS]
    return all(fixed is None or offered is None or fixed == offered for fixed, offered in values)
