"""What each provider offers for deployments, as data, and the check of a spec against it.

Properties that could not be confirmed are listed as such: the program works with either answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.structs import Struct

MAX_KEEP_HOURS: Final = 366 * 24.0


class DeploymentLookup(StrEnum):
    """How a deployment is found again after the answer to its create was lost. The values are texts for the docs."""

    NAME = "its name, which the service chooses; a second create is refused"
    NAME_AND_TAGS = "its name and tags; a second create changes the first, so the name is always read before"
    PARENT_NAME = "its endpoint's name, which the service chooses; a second endpoint is refused"
    SOURCE_MODEL = "the model that it serves; a second create makes a second one"


class KindOffer(Struct, frozen=True, kw_only=True):
    """One kind of deployment at a provider."""

    provider_term: str  # the provider's word for it
    options: tuple[str, ...] = ()  # of [run.PROVIDER.deployment], besides `kind` and `keep_hours`
    required: tuple[str, ...] = ()  # those that the provider does not choose by itself
    exclusive: tuple[tuple[str, str], ...] = ()  # pairs of which at most one may be given
    lifetime_hours: float | None = None  # the provider removes it after this time, whether it is used or not
    idle_lifetime_hours: float | None = None  # the provider removes it after this time without calls
    configs: tuple[str, ...] = ()  # the values of `config`; none: the provider decides which it has
    idle_stop_range: tuple[int, int] | None = None  # of `idle_stop_minutes`
    scales_to_zero: bool = False  # whether `min_replicas` may be 0
    unconfirmed: tuple[str, ...] = ()  # as text; either answer works


class DeploymentOffer(Struct, frozen=True, kw_only=True):
    """What a provider offers for deployments. No kinds: its models are callable by themselves."""

    kinds: Mapping[DeploymentKind, KindOffer]
    not_offered: str = ""  # what the service does not use, and why, as text
    lookup: DeploymentLookup | None = None
    name_length: int = 63  # maximum length of the name that carries the tag
    parallel_creates: bool = True  # False: one operation at a time in an account
    stop_before_delete: bool = False  # whether a running deployment cannot be deleted
    unconfirmed: tuple[str, ...] = ()

    @property
    def ready_by_itself(self) -> bool:
        """Whether a finished model is callable without a deployment."""
        return not self.kinds


_REPLICAS: Final = ("min_replicas", "max_replicas")
_READY: Final = DeploymentOffer(kinds={})

DEPLOYMENT_OFFERS: Final[Mapping[ProviderName, DeploymentOffer]] = {
    ProviderName.OPENAI: _READY,
    ProviderName.OPENAI_COMPATIBLE: DeploymentOffer(kinds={}, unconfirmed=("everything: it depends on the server",)),
    ProviderName.VERTEX: DeploymentOffer(kinds={}, unconfirmed=("whether tuned open models need a deployment",)),
    ProviderName.BEDROCK_MANTLE: DeploymentOffer(kinds={}, unconfirmed=("whether all of its models are callable",)),
    ProviderName.AZURE: DeploymentOffer(
        kinds={
            DeploymentKind.TOKEN: KindOffer(
                provider_term="Developer tier",
                options=("capacity",),
                lifetime_hours=24,
                unconfirmed=(
                    "whether version 2025-09-01 of the API accepts it",
                    "whether it exists for tuned open models",
                    "whether the list of models names it",
                ),
            ),
            DeploymentKind.HOUR: KindOffer(
                provider_term="Standard or Global Standard",
                options=("config", "capacity"),
                required=("config",),
                configs=("Standard", "GlobalStandard"),
                idle_lifetime_hours=15 * 24,
                unconfirmed=("the price per hour, which no API of the account reports",),
            ),
        },
        not_offered="provisioned throughput: it reserves units",
        lookup=DeploymentLookup.NAME_AND_TAGS,
        name_length=64,
        parallel_creates=False,
        unconfirmed=(
            "whether five tuned deployments are allowed in a resource or in a subscription",
            "the allowed characters of a name (letters, digits and hyphens are used)",
        ),
    ),
    ProviderName.NEBIUS: DeploymentOffer(
        kinds={
            DeploymentKind.TOKEN: KindOffer(
                provider_term="custom model",
                unconfirmed=("whether POST /v0/models still exists, and for which base models",),
            )
        },
        not_offered="dedicated endpoints: custom weights are enabled by the provider's support only",
        lookup=DeploymentLookup.SOURCE_MODEL,
        unconfirmed=("which of two addresses deletes a custom model (both are tried)",),
    ),
    ProviderName.TOGETHER: DeploymentOffer(
        kinds={
            DeploymentKind.HOUR: KindOffer(
                provider_term="endpoint with a deployment",
                options=("hardware", "config", "precision", "idle_stop_minutes", *_REPLICAS),
                exclusive=(("config", "hardware"), ("config", "precision")),
                idle_stop_range=(30, 1440),
                unconfirmed=("whether idle_stop_minutes is kept (read back; the expiry holds in any case)",),
            )
        },
        not_offered="deployments per token: not available for fine-tuned models in most accounts",
        lookup=DeploymentLookup.PARENT_NAME,
        stop_before_delete=True,
        unconfirmed=(
            "whether a second deployment with the same name is refused (its endpoint is listed first)",
            "the model string of an attached adapter (adapters are merged instead)",
        ),
    ),
    ProviderName.FIREWORKS: DeploymentOffer(
        kinds={
            DeploymentKind.HOUR: KindOffer(
                provider_term="on-demand deployment",
                options=("hardware", "shape", "precision", "idle_stop_minutes", *_REPLICAS),
                exclusive=(("shape", "hardware"), ("shape", "precision")),
                idle_lifetime_hours=7 * 24,
                idle_stop_range=(5, 7 * 24 * 60),
                scales_to_zero=True,
                unconfirmed=("the price per hour, which no API reports",),
            )
        },
        not_offered="deployments per token: not available for fine-tuned models",
        lookup=DeploymentLookup.NAME,
    ),
    ProviderName.BEDROCK: DeploymentOffer(
        kinds={
            DeploymentKind.TOKEN: KindOffer(
                provider_term="custom model deployment",
                unconfirmed=("the regions and base models for which it is offered",),
            )
        },
        not_offered="provisioned throughput: with a commitment it cannot be deleted before its end",
        lookup=DeploymentLookup.NAME,
        unconfirmed=("the error of a name that is taken (the deployment is then read by its name)",),
    ),
    ProviderName.DASHSCOPE: DeploymentOffer(
        kinds={
            DeploymentKind.TOKEN: KindOffer(
                provider_term="plan lora",
                idle_lifetime_hours=30 * 24,
                unconfirmed=("whether it is offered outside Beijing", "which base models have it"),
            ),
            DeploymentKind.HOUR: KindOffer(
                provider_term="plan mu",
                options=("hardware", *_REPLICAS),
                required=("hardware",),
                unconfirmed=("whether it is enabled for the account",),
            ),
        },
        lookup=DeploymentLookup.NAME,
        name_length=8,
        unconfirmed=("whether the display name is shown again", "the time zone of its times (not read)"),
    ),
}

UNIVERSAL_OPTIONS: Final = frozenset({"kind", "keep_hours"})


def find_spec_problems(provider: ProviderName, spec: DeploymentSpec) -> Iterator[tuple[str | None, str]]:
    """Yield each option that cannot be used at the provider (None: all of them), what is wrong and what to do."""
    offer = DEPLOYMENT_OFFERS[provider]
    if offer.ready_by_itself:
        yield None, f"is not needed: a model of {provider} is callable without a deployment; remove the table"
        return
    kind = offer.kinds.get(spec.kind)
    if kind is None:
        others = " or ".join(f'"{each}"' for each in offer.kinds)
        why = f" ({offer.not_offered})" if offer.not_offered else ""
        yield "kind", f"must be {others} at {provider}{why}"
        return
    given = spec.as_dict().keys() - UNIVERSAL_OPTIONS
    for option in sorted(given - set(kind.options)):
        known = ", ".join([*sorted(UNIVERSAL_OPTIONS), *kind.options])
        yield option, f'is not an option of {provider} with kind = "{spec.kind}"; its options are {known}'
    for option in kind.required:
        if option not in given:
            yield option, f'is missing; {provider} requires it with kind = "{spec.kind}"'
    if spec.config is not None and kind.configs and spec.config not in kind.configs:
        names = " or ".join(f'"{each}"' for each in kind.configs)
        why = f" ({offer.not_offered})" if offer.not_offered else ""
        yield "config", f"must be {names} at {provider}{why}"
    for first, second in kind.exclusive:
        if {first, second} <= given:
            yield second, f"is decided by {first}; remove one of the two lines"
    yield from _find_number_problems(provider, spec, kind)


def _find_number_problems(provider: ProviderName, spec: DeploymentSpec, kind: KindOffer) -> Iterator[tuple[str, str]]:
    if kind.lifetime_hours is not None and spec.keep_hours > kind.lifetime_hours:
        yield "keep_hours", f"must be at most {kind.lifetime_hours:g}: {provider} then removes a {kind.provider_term}"
    if spec.min_replicas == 0 and "min_replicas" in kind.options and not kind.scales_to_zero:
        yield "min_replicas", f"must be at least 1: a deployment at {provider} does not scale to zero"
    if spec.max_replicas is not None and (spec.min_replicas or 0) > spec.max_replicas:
        yield "min_replicas", f"is above max_replicas ({spec.max_replicas}); raise that or lower this"
    if spec.idle_stop_minutes is not None and kind.idle_stop_range is not None:
        low, high = kind.idle_stop_range
        if not low <= spec.idle_stop_minutes <= high:
            yield "idle_stop_minutes", f"must be from {low} to {high} at {provider}"
