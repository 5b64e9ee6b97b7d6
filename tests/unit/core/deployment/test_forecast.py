"""What a plan says about deployments before anything is trained."""

from __future__ import annotations

import pytest

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.forecast import DeploymentForecast
from orchestrator.core.hold import HoldKind

HOUR = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2.5, max_replicas=2)
PER_HOUR = DeploymentOption(price=DeploymentPrice(kind=DeploymentKind.HOUR, usd_per_hour=4.0))
PER_TOKEN = DeploymentOption(price=DeploymentPrice(kind=DeploymentKind.TOKEN, usd_per_hour=0.0))


def forecast(options: tuple[DeploymentOption, ...] | None, spec: DeploymentSpec = HOUR) -> DeploymentForecast:
    return DeploymentForecast(provider=ProviderName.FIREWORKS, base_model="llama", spec=spec, options=options)


def test_price_is_that_of_all_replicas_until_the_expiry() -> None:
    priced = forecast((PER_HOUR,))
    assert (priced.usd, priced.hold) == (20.0, None)
    assert "$4.00 an hour × 2.5 hours × 2, at most $20.00 for each account" in priced.describe()
    assert "kind" not in priced.describe()


def test_way_without_a_price_per_hour_is_named() -> None:
    assert 'kind = "token" is possible too' in forecast((PER_HOUR, PER_TOKEN)).describe()


def test_base_model_that_cannot_be_deployed_is_a_hold_and_an_unknown_one_is_only_described() -> None:
    hold = forecast(()).hold
    assert hold is not None
    assert hold.kind == HoldKind.NOT_SERVABLE
    assert "llama" in hold.reason
    unknown = forecast(None)
    assert (unknown.hold, unknown.usd) == (None, None)
    assert "does not report whether models of llama can be deployed" in unknown.describe()
    assert "waits for an approval" in unknown.describe()


@pytest.mark.parametrize("options", [None, (PER_TOKEN,)])
def test_kind_per_token_costs_nothing_per_hour(options: tuple[DeploymentOption, ...] | None) -> None:
    priced = forecast(options, DeploymentSpec(kind=DeploymentKind.TOKEN, keep_hours=24))
    assert priced.usd == 0.0
    assert "billed per token" in priced.describe()
