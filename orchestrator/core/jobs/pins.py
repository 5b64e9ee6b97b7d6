"""Pinned values: hyperparameters that a provider chose for the first job of a run and that its other jobs are sent.

Without pins, each job with "auto" may be trained with other values. The spec, and therefore the job id, still
contains "auto": a pin is one way to carry it out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_list

PINNABLE_OPTIONS: Final = ("n_epochs", "batch_size", "learning_rate_multiplier", "learning_rate")

PinnedValues = Mapping[str, int | float]


def list_auto_options(spec: TrainingSpec, provider: ProviderName) -> tuple[str, ...]:
    """List the options that the spec leaves to the provider."""
    offered = CAPABILITIES[provider].options
    return tuple(name for name in PINNABLE_OPTIONS if name in offered and getattr(spec, name) in (None, "auto"))


def find_resolved_values(
    spec: TrainingSpec, provider: ProviderName, used: Mapping[str, Any], *, finished: bool
) -> PinnedValues | None:
    """Return the values that the provider chose for a job, as it reports them in `used`; None while one is missing.

    A finished job reports no more: options without a value are then left to the provider in the other jobs, too.
    """
    options = list_auto_options(spec, provider)
    values = {name: used[name] for name in options if is_resolved_value(used.get(name))}
    return values if finished or len(values) == len(options) else None


def apply_pins(spec: TrainingSpec, values: PinnedValues | None) -> TrainingSpec:
    """Return the spec with the pinned values in place of "auto"."""
    changes: dict[str, Any] = dict(values or {})
    return replace(spec, **changes)


class ValueUsage(Struct, frozen=True):
    """Hyperparameters that `count` jobs at a provider were trained with; `account` has one of these jobs."""

    provider: ProviderName
    values: Mapping[str, Any]
    account: str
    count: int


def list_differences(used: Iterable[ValueUsage]) -> list[str]:
    """Describe each hyperparameter in which the jobs of one provider differ."""
    usages: dict[tuple[ProviderName, str], dict[Any, list[ValueUsage]]] = defaultdict(lambda: defaultdict(list))
    for usage in used:
        for name, value in usage.values.items():
            if is_resolved_value(value):
                usages[usage.provider, name][value].append(usage)
    return [
        f"the jobs at {provider} were trained with different values: {name} is {_format_usages(values)}"
        for (provider, name), values in sorted(usages.items())
        if len(values) > 1
    ]


def is_resolved_value(value: object) -> bool:
    """Return whether a value is a number that the provider chose: neither "auto" nor a placeholder such as -1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _format_usages(values: Mapping[Any, list[ValueUsage]]) -> str:
    parts = []
    for value, usages in sorted(values.items()):
        accounts = format_list([usages[0].account], total=sum(usage.count for usage in usages))
        parts.append(f"{value:g} in {accounts}")
    return ", ".join(parts)
