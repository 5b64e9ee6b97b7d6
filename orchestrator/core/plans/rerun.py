"""Reruns: a run's dataset at another provider. Options with the same meaning are kept; the rest is chosen again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, EQUIVALENT_OPTIONS
from orchestrator.core.dataset import Dataset
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import ModerationStatus
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import Struct

NON_PROVIDER_OPTIONS: Final = frozenset({"base_model", "seed", "suffix"})
"""Fields of a spec that are not options of a provider's block, or are chosen again."""


class Rerun(Struct, frozen=True, kw_only=True):
    """A draft of an accounts file for the same dataset at another provider."""

    run: Run  # the run that is repeated
    dataset: Dataset
    provider: ProviderName  # the target
    source: ProviderName  # the provider of the run whose options are kept
    base_model: str | None  # at the target; None: to be chosen
    options: Mapping[str, Any]  # those with the same meaning at the target
    accounts: Sequence[Account]  # at the target
    moderation_waived: str | None  # why the same texts need no moderation again
    missing: tuple[str, ...]  # what the operator has to choose before it can start
    notes: tuple[str, ...]  # what differs from the run


def plan_rerun(
    run: Run, dataset: Dataset, provider: ProviderName, base_model: str | None, accounts: Sequence[Account]
) -> Rerun:
    """Draft the run at another provider. `accounts` are the accounts at that provider."""
    source = provider if provider in run.specs else min(run.specs)
    explicit = _explicit_options(run.specs[source])
    options = {name: value for name, value in explicit.items() if _is_supported_option(name, value, provider)}
    lost = {name: value for name, value in explicit.items() if name not in options}
    waived = _find_moderation_waiver(run)
    return Rerun(
        run=run,
        dataset=dataset,
        provider=provider,
        source=source,
        base_model=base_model or (run.specs[provider].base_model if provider in run.specs else None),
        options=options,
        accounts=accounts,
        moderation_waived=waived,
        missing=tuple(_list_missing(run, dataset, provider, base_model, accounts, lost, waived)),
        notes=tuple(_list_notes(run.specs[source], dataset, provider, lost)),
    )


def _explicit_options(spec: TrainingSpec) -> dict[str, Any]:
    """Return the spec's options without those that are left to the provider."""
    default = TrainingSpec(base_model=spec.base_model).as_dict()
    return {
        name: value
        for name, value in spec.as_dict().items()
        if name not in NON_PROVIDER_OPTIONS and value != default.get(name)
    }


def _is_supported_option(name: str, value: Any, provider: ProviderName) -> bool:
    offers = CAPABILITIES[provider]
    return name in offers.options and (name != "method" or value in offers.methods)


def _list_missing(
    run: Run,
    dataset: Dataset,
    provider: ProviderName,
    base_model: str | None,
    accounts: Sequence[Account],
    lost: Mapping[str, Any],
    waived: str | None,
) -> list[str]:
    offers, missing = CAPABILITIES[provider], []
    if base_model is None and provider not in run.specs:
        missing.append(f"a base model that {provider} trains: --base-model NAME")
    if not accounts:
        missing.append(f"an account at {provider}: an [[accounts]] entry")
    if "method" in lost:
        missing.append(f"a provider that supports the method {lost['method']}: {provider} does not")
    if dataset.training.examples < offers.minimum_examples:
        missing.append(f"at least {offers.minimum_examples} examples; the dataset has {dataset.training.examples}")
    if dataset.training.bytes > offers.maximum_bytes:
        missing.append(f"a file of at most {offers.maximum_bytes:,} bytes; it has {dataset.training.bytes:,}")
    if waived is None:
        missing.append("a moderation, or a reason why none is needed: the run has no recorded moderation")
    return missing


def _list_notes(spec: TrainingSpec, dataset: Dataset, provider: ProviderName, lost: Mapping[str, Any]) -> list[str]:
    offers, notes = CAPABILITIES[provider], []
    for name, value in lost.items():
        other, meaning = EQUIVALENT_OPTIONS.get(name, ("", ""))
        if other in offers.options:
            notes.append(f"{name} = {value} has no fixed counterpart: {other} is {meaning}; left to {provider}")
        elif name != "method":
            notes.append(f"{name} = {value} is not an option of {provider}; left out")
    if spec.seed is not None and not offers.seed:
        notes.append(f"{provider} has no seed")
    if dataset.validation:
        notes.append("the validation file is not sent: set `validation_fraction` to hold out a part of these chats")
    if not offers.servable:
        notes.append(f"a finished model there {offers.serving}")
    return notes


def _find_moderation_waiver(run: Run) -> str | None:
    """Return why the same texts need no moderation again; None if they do."""
    record = run.moderation
    if record is None or record.state is ModerationStatus.MISSING:
        return None
    result = (
        f"passed by {record.by}"
        if record.state is ModerationStatus.PASSED
        else f"waived by {record.by}: {record.reason}"
    )
    return f"the same texts in run {run.id}: {result}"
