"""What providers offer, and that it never changes who a job is."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, unsupported_reason
from orchestrator.core.jobs.job import job_id
from orchestrator.core.spec import ORIGINAL_IDENTITY_FIELDS, TrainingSpec

SPEC = TrainingSpec(base_model="gpt-4.1-mini-2025-04-14", n_epochs=3, seed=42)
LATER: dict[str, Any] = {
    "learning_rate": 1e-5,
    "lora": True,
    "lora_rank": 8,
    "lora_alpha": 16,
    "context_length": 4096,
    "training_type": "Developer",
    "byte_order_mark": True,
}


def identity(spec: TrainingSpec) -> str:
    return job_id("ab" * 32, ProviderName.OPENAI, spec, "a")


def test_identities_of_earlier_versions_are_unchanged() -> None:
    assert identity(SPEC) == "952a42f63383a27e"
    assert identity(replace(SPEC, suffix="support")) == "6d30cdf7ee0a093a"


def test_later_fields_are_left_out_unless_set() -> None:
    assert {field.name for field in fields(TrainingSpec)} == ORIGINAL_IDENTITY_FIELDS | LATER.keys()
    assert SPEC.as_dict().keys() == ORIGINAL_IDENTITY_FIELDS


@pytest.mark.parametrize("name", LATER)
def test_later_field_that_is_set_changes_the_job(name: str) -> None:
    spec = replace(SPEC, **{name: LATER[name]})
    assert identity(spec) != identity(SPEC)
    assert TrainingSpec.from_dict(spec.as_dict()) == spec


def test_every_provider_is_described() -> None:
    assert set(CAPABILITIES) == set(ProviderName)


@pytest.mark.parametrize("provider", ProviderName)
def test_capabilities_lack_options_that_are_not_offered(provider: ProviderName) -> None:
    options = {field.name for field in fields(TrainingSpec)} - {"base_model", "seed", "suffix"}
    missing = {option for option in options if unsupported_reason(provider, option)}
    assert missing == options - set(CAPABILITIES[provider].options)
