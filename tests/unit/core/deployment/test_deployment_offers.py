from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.deployment.deployment import DeploymentId, format_deployment_name
from orchestrator.core.deployment.deployment_offers import (
    DEPLOYMENT_OFFERS,
    UNIVERSAL_OPTIONS,
    DeploymentLookup,
    find_spec_problems,
)
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.structs import fields, replace

TOKEN = DeploymentSpec(kind=DeploymentKind.TOKEN, keep_hours=2)
HOUR = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2)


def problems(provider: ProviderName, spec: DeploymentSpec, **changes: Any) -> list[tuple[str | None, str]]:
    return list(find_spec_problems(provider, replace(spec, **changes)))


def test_every_provider_has_an_offer_that_agrees_with_its_capabilities() -> None:
    assert DEPLOYMENT_OFFERS.keys() == set(ProviderName)
    for provider, offer in DEPLOYMENT_OFFERS.items():
        assert offer.ready_by_itself == CAPABILITIES[provider].servable, provider
        assert (offer.lookup is None) == offer.ready_by_itself, provider


def test_options_are_those_of_the_spec() -> None:
    known = {field.name for field in fields(DeploymentSpec)} - UNIVERSAL_OPTIONS
    offered: set[str] = set()
    for offer in DEPLOYMENT_OFFERS.values():
        for kind in offer.kinds.values():
            offered |= set(kind.options)
            assert set(kind.required) <= set(kind.options)
            assert {option for pair in kind.exclusive for option in pair} <= set(kind.options)
            assert (kind.idle_stop_range is None) == ("idle_stop_minutes" not in kind.options)
    assert offered == known


def test_no_deployment_per_hour_is_offered_where_it_cannot_be_deleted() -> None:
    assert DeploymentKind.HOUR not in DEPLOYMENT_OFFERS[ProviderName.BEDROCK].kinds
    assert "cannot be deleted" in DEPLOYMENT_OFFERS[ProviderName.BEDROCK].not_offered


@pytest.mark.parametrize("provider", [name for name, offer in DEPLOYMENT_OFFERS.items() if offer.lookup])
def test_name_fits(provider: ProviderName) -> None:
    offer = DEPLOYMENT_OFFERS[provider]
    name = format_deployment_name(f"{DeploymentId('0123456789abcdef')}.12", offer.name_length)
    assert 8 <= len(name) <= offer.name_length
    assert offer.lookup is not DeploymentLookup.SOURCE_MODEL or provider is ProviderName.NEBIUS


@pytest.mark.parametrize(
    ("provider", "spec", "changes"),
    [
        ("azure", TOKEN, {"keep_hours": 24}),
        ("azure", TOKEN, {"capacity": 20}),
        ("azure", HOUR, {"config": "GlobalStandard", "capacity": 5, "keep_hours": 48}),
        ("nebius", TOKEN, {}),
        ("together", HOUR, {"config": "cr_1", "idle_stop_minutes": 30, "min_replicas": 1, "max_replicas": 2}),
        ("fireworks", HOUR, {"shape": "FULL_PRECISION", "min_replicas": 0, "idle_stop_minutes": 5}),
        ("bedrock", TOKEN, {}),
        ("dashscope", TOKEN, {}),
        ("dashscope", HOUR, {"hardware": "MU1"}),
    ],
)
def test_usable_specs_have_no_problem(provider: str, spec: DeploymentSpec, changes: dict[str, Any]) -> None:
    assert problems(ProviderName(provider), spec, **changes) == []


@pytest.mark.parametrize(
    ("provider", "spec", "changes", "option", "words"),
    [
        ("openai", TOKEN, {}, None, "remove the table"),
        ("vertex", HOUR, {}, None, "callable without a deployment"),
        ("together", TOKEN, {}, "kind", 'must be "hour"'),
        ("bedrock", HOUR, {}, "kind", "cannot be deleted before its end"),
        ("azure", TOKEN, {"keep_hours": 25}, "keep_hours", "at most 24"),
        ("azure", HOUR, {}, "config", "is missing"),
        ("azure", HOUR, {"config": "ProvisionedManaged"}, "config", "it reserves units"),
        ("together", HOUR, {"capacity": 10}, "capacity", "is not an option"),
        ("azure", TOKEN, {"min_replicas": 1}, "min_replicas", "is not an option"),
        ("dashscope", HOUR, {}, "hardware", "is missing"),
        ("fireworks", HOUR, {"shape": "FAST", "hardware": "H100"}, "hardware", "decided by shape"),
        ("fireworks", HOUR, {"min_replicas": 3, "max_replicas": 2}, "min_replicas", "above max_replicas"),
        ("fireworks", HOUR, {"idle_stop_minutes": 4}, "idle_stop_minutes", "from 5 to"),
        ("together", HOUR, {"min_replicas": 0}, "min_replicas", "at least 1"),
        ("together", HOUR, {"idle_stop_minutes": 29}, "idle_stop_minutes", "from 30 to 1440"),
    ],
)
def test_unusable_option_is_reported(
    provider: str, spec: DeploymentSpec, changes: dict[str, Any], option: str | None, words: str
) -> None:
    ((found, why),) = problems(ProviderName(provider), spec, **changes)
    assert found == option
    assert words in why


def test_spec_survives_the_database() -> None:
    spec = replace(HOUR, config="cr_1", min_replicas=0, max_replicas=3)
    assert DeploymentSpec.from_dict(spec.as_dict()) == spec
    assert spec.as_dict().keys() == {"kind", "keep_hours", "config", "min_replicas", "max_replicas"}


@pytest.mark.parametrize(
    ("provider", "spec", "problem"),
    [
        (
            ProviderName.BEDROCK,
            DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=1),
            ("kind", 'must be "token" at bedrock'),
        ),
        (
            ProviderName.FIREWORKS,
            DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=1, min_replicas=2, max_replicas=1),
            ("min_replicas", "is above max_replicas (1)"),
        ),
    ],
)
def test_problem_of_an_option_names_the_allowed_values(
    provider: ProviderName, spec: DeploymentSpec, problem: tuple[str, str]
) -> None:
    found = dict(find_spec_problems(provider, spec))
    assert found[problem[0]].startswith(problem[1])


def test_replicas_within_their_limits_are_no_problem() -> None:
    for low, high in [(1, 1), (1, 2), (None, 1), (1, None)]:
        spec = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=1, min_replicas=low, max_replicas=high)
        assert "min_replicas" not in dict(find_spec_problems(ProviderName.FIREWORKS, spec))
