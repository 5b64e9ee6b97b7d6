"""Pin: what a provider chose for the first job of a run, given to all others there, so that they are really alike.

The identities stay: the spec says "auto", and what is pinned is one way to carry that out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.text import format_list

PINNABLE_OPTIONS: Final = ("n_epochs", "batch_size", "learning_rate_multiplier", "learning_rate")

PinnedValues = Mapping[str, int | float]


def list_auto_options(spec: TrainingSpec, provider: ProviderName) -> tuple[str, ...]:
    """The options that the spec leaves to the provider."""
    offered = CAPABILITIES[provider].options
    return tuple(name for name in PINNABLE_OPTIONS if name in offered and getattr(spec, name) in (None, "auto"))


def find_resolved_values(
    spec: TrainingSpec, provider: ProviderName, used: Mapping[str, Any], *, finished: bool
) -> PinnedValues | None:
    """What the provider chose for a job that uses these values; None while it does not tell all of it.

    A job that is `done` tells no more: what it does not say is left open for the others, too.
    """
    wanted = list_auto_options(spec, provider)
    values = {name: used[name] for name in wanted if is_resolved_value(used.get(name))}
    return values if finished or len(values) == len(wanted) else None


def apply_pins(spec: TrainingSpec, values: PinnedValues | None) -> TrainingSpec:
    """The spec as it is sent."""
    changes: dict[str, Any] = dict(values or {})
    return replace(spec, **changes)


@dataclass(frozen=True, slots=True)
class ValueUsage:
    """Values that `count` jobs at a provider were trained with, one of them in this account."""

    provider: ProviderName
    values: Mapping[str, Any]
    account: str
    count: int


def list_differences(used: Iterable[ValueUsage]) -> list[str]:
    """A line for each value in which the jobs of one provider differ."""
    found: dict[tuple[ProviderName, str], dict[Any, list[ValueUsage]]] = defaultdict(lambda: defaultdict(list))
    for each in used:
        for name, value in each.values.items():
            if is_resolved_value(value):
                found[each.provider, name][value].append(each)
    return [
        f"{provider} did not train all jobs alike: {name} is {_format_usages(values)}"
        for (provider, name), values in sorted(found.items())
        if len(values) > 1
    ]


def is_resolved_value(value: object) -> bool:
    """Whether a provider has told a value: neither "auto" nor a placeholder such as -1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _format_usages(values: Mapping[Any, list[ValueUsage]]) -> str:
    parts = []
    for value, those in sorted(values.items()):
        accounts = format_list([those[0].account], total=sum(each.count for each in those))
        parts.append(f"{value:g} in {accounts}")
    return ", ".join(parts)
