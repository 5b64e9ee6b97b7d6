"""What providers offer, and that it never changes who a job is."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import (
    CAPABILITIES,
    JobLookup,
    PriceSource,
    needs_multipart,
    unsupported_reason,
)
from orchestrator.core.jobs.job import job_id
from orchestrator.core.spec import ORIGINAL_IDENTITY_FIELDS, TrainingSpec
from orchestrator.core.structs import fields, replace

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


@pytest.mark.parametrize(("lookup", "expected"), [(JobLookup.TRAINING_FILE, True), (JobLookup.LABEL_OR_FILE, True)])
def test_job_that_is_found_by_its_file_has_a_file_of_its_own(lookup: JobLookup, *, expected: bool) -> None:
    capabilities = CAPABILITIES[ProviderName.OPENAI]
    assert replace(capabilities, job_lookup=lookup).has_file_per_job is expected


def test_job_that_is_found_by_its_label_shares_its_file() -> None:
    others = set(JobLookup) - {JobLookup.TRAINING_FILE, JobLookup.LABEL_OR_FILE}
    assert others
    for lookup in others:
        assert not replace(CAPABILITIES[ProviderName.OPENAI], job_lookup=lookup).has_file_per_job


def test_only_a_provider_that_estimates_prices_has_quotes() -> None:
    with_quotes = [
        source for source in PriceSource if replace(CAPABILITIES[ProviderName.OPENAI], price_source=source).has_quotes
    ]
    assert with_quotes == [PriceSource.PROVIDER_ESTIMATE]


def test_only_a_file_above_the_threshold_is_sent_in_parts() -> None:
    limited = replace(CAPABILITIES[ProviderName.OPENAI], multipart_threshold_bytes=100)
    assert [needs_multipart(size, limited) for size in (99, 100, 101)] == [False, False, True]
    assert not needs_multipart(1 << 40, replace(limited, multipart_threshold_bytes=None))


def test_unsupported_option_names_its_equivalent_or_the_providers_that_know_it() -> None:
    nebius = unsupported_reason(ProviderName.NEBIUS, "learning_rate_multiplier")
    assert nebius is not None
    assert "its equivalent is learning_rate, the rate itself" in nebius

    seed = unsupported_reason(ProviderName.OPENAI, "lora_alpha")
    assert seed is not None
    assert "it has no equivalent; remove it" in seed
    named = seed.partition("known to ")[2].rstrip(")").split(", ")
    assert named == [name for name, offered in CAPABILITIES.items() if "lora_alpha" in offered.options]
    assert named
