"""What a plan knows about the deployments of a provider, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice, estimate_deployment_usd
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.spec_choice import find_option_price
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.structs import Struct
from orchestrator.core.text import format_usd


class DeploymentForecast(Struct, frozen=True, kw_only=True):
    """The deployment of each model of one provider. `options` is None if the provider does not report any."""

    provider: ProviderName
    base_model: str
    spec: DeploymentSpec
    options: tuple[DeploymentOption, ...] | None

    @property
    def price(self) -> DeploymentPrice:
        """The price of the spec, as far as the provider reports it."""
        return find_option_price(self.spec, self.options or ())

    @property
    def usd(self) -> float | None:
        """What one deployment costs until it expires, without its calls; None: the price is unknown."""
        return estimate_deployment_usd(self.spec, self.price.usd_per_hour)

    @property
    def hold(self) -> Hold | None:
        """Why models are not trained for this deployment: the provider certainly cannot deploy them."""
        if self.options is None or self.options:
            return None
        return Hold(
            HoldKind.NOT_SERVABLE,
            f"{self.provider} cannot deploy models of {self.base_model}, and the run requests a deployment",
            f"Choose another `base_model` in [run.{self.provider}], or remove [run.{self.provider}.deployment].",
        )

    def describe(self) -> str:
        """Describe the deployment and its price in one sentence."""
        spec, usd_per_hour = self.spec, self.price.usd_per_hour
        if usd_per_hour is None:
            price = "the price per hour is unknown, so each deployment waits for an approval"
        elif spec.kind is DeploymentKind.TOKEN:
            price = "billed per token, nothing per hour"
        else:
            price = (
                f"{format_usd(usd_per_hour)} an hour × {spec.keep_hours:g} hours × {spec.billed_replicas}, "
                f"at most {format_usd(self.usd)} for each account"
            )
        parts = [f"Deployment at {self.provider}: {price}"]
        if self.options is None:
            parts.append(f"the provider does not report whether models of {self.base_model} can be deployed")
        elif spec.kind is DeploymentKind.HOUR and _has_way_per_token(self.options):
            parts.append('kind = "token" is possible too, without a price per hour')
        return "; ".join(parts)


def _has_way_per_token(options: Sequence[DeploymentOption]) -> bool:
    return any(option.price.kind is DeploymentKind.TOKEN for option in options)
