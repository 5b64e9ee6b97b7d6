"""An operator's options on top of the run's table, and the price of the result."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.spec_choice import build_deployment_spec, find_option_price
from orchestrator.core.errors import ConfigError

HOUR = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2)
TABLE = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=8, hardware="NVIDIA_H100_80GB", max_replicas=1)


def option(usd: float | None, *, kind: DeploymentKind = DeploymentKind.HOUR, **values: Any) -> DeploymentOption:
    return DeploymentOption(price=DeploymentPrice(kind=kind, usd_per_hour=usd, source=f"of {usd}"), **values)


def test_options_override_the_table_of_the_run() -> None:
    spec = build_deployment_spec(ProviderName.FIREWORKS, {"keep_hours": 3.0, "hardware": None}, TABLE)
    assert spec == DeploymentSpec(
        kind=DeploymentKind.HOUR, keep_hours=3.0, hardware="NVIDIA_H100_80GB", max_replicas=1
    )


def test_another_kind_replaces_the_table() -> None:
    table = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=8, hardware="MU1")
    spec = build_deployment_spec(ProviderName.DASHSCOPE, {"kind": "token", "keep_hours": 1.0}, table)
    assert spec == DeploymentSpec(kind=DeploymentKind.TOKEN, keep_hours=1.0)


def test_the_only_kind_of_a_provider_need_not_be_named() -> None:
    assert build_deployment_spec(ProviderName.TOGETHER, {"keep_hours": 2.0}, None) == HOUR


@pytest.mark.parametrize(
    ("provider", "options", "expected"),
    [
        (ProviderName.FIREWORKS, {}, "needs `keep_hours`"),
        (ProviderName.AZURE, {"keep_hours": 1.0}, "needs `kind`"),
        (ProviderName.AZURE, {}, "needs `kind` and `keep_hours`"),
        (ProviderName.FIREWORKS, {"keep_hours": 0.0}, "keep_hours must be above 0"),
        (ProviderName.FIREWORKS, {"keep_hours": float("nan")}, "keep_hours must be above 0"),
        (ProviderName.FIREWORKS, {"keep_hours": 1.0, "config": "c"}, "config is not an option of fireworks"),
        (ProviderName.BEDROCK, {"keep_hours": 1.0, "kind": "hour"}, 'kind must be "token"'),
        (ProviderName.OPENAI, {}, "a deployment is not needed"),
    ],
)
def test_unusable_options_are_refused_with_what_to_do(
    provider: ProviderName, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        build_deployment_spec(provider, options, None)
    assert expected in " ".join([refused.value.message, *refused.value.problems])
    assert refused.value.hint


@pytest.mark.parametrize(
    ("spec", "options", "usd"),
    [
        (HOUR, [option(4.0), option(6.5)], 6.5),  # the provider chooses: the budget must hold for each
        (HOUR, [option(4.0), option(None)], None),
        (HOUR, [], None),
        (HOUR, [option(4.0, kind=DeploymentKind.TOKEN)], None),
        (TABLE, [option(4.0, hardware="NVIDIA_H100_80GB"), option(9.0, hardware="NVIDIA_B200")], 4.0),
        (TABLE, [option(4.0)], 4.0),
        (TABLE, [option(9.0, hardware="NVIDIA_B200")], None),
        (DeploymentSpec(kind=DeploymentKind.TOKEN, keep_hours=1), [], 0.0),
    ],
)
def test_the_price_is_that_of_the_dearest_matching_option(
    spec: DeploymentSpec, options: list[DeploymentOption], usd: float | None
) -> None:
    assert find_option_price(spec, options).usd_per_hour == usd


def test_price_of_a_kind_per_token_names_its_source() -> None:
    price = find_option_price(DeploymentSpec(kind=DeploymentKind.TOKEN, keep_hours=1), [])
    assert (price.kind, price.source) == (DeploymentKind.TOKEN, "billed per token")
