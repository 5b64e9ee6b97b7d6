"""Identities are promises: a job whose id changes is a job that is paid for again.

The literals below were right once and must stay right for ever, whatever becomes of the code.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from core_values import DATASET, SPEC, a_job
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.account import ProviderName
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.jobs.job import job_id, run_id
from orchestrator.core.spec import TrainingSpec, digest
from orchestrator.core.structs import replace

BARE = TrainingSpec(base_model="gpt-4.1-nano-2025-04-14")
FULL = TrainingSpec(
    base_model="meta-llama/Llama-3.1-8B-Instruct",
    method="dpo",
    n_epochs=2,
    batch_size=8,
    learning_rate_multiplier=0.5,
    seed=7,
    suffix="Tön",
)


@pytest.mark.parametrize(
    ("provider", "spec", "account", "identity"),
    [
        (ProviderName.OPENAI, SPEC, "acme-eu", "322f38d4da5803aa"),
        (ProviderName.OPENAI, SPEC, "acme-us", "8b40f91b89be36ba"),
        (ProviderName.OPENAI, BARE, "acme-eu", "fe2430a90ca802a6"),
        (ProviderName.NEBIUS, FULL, "acme-eu", "222f0fa588dc4e03"),
    ],
)
def test_the_identity_of_a_job_never_changes(
    provider: ProviderName, spec: TrainingSpec, account: str, identity: str
) -> None:
    assert job_id("a" * 64, provider, spec, account) == identity


@pytest.mark.parametrize(
    ("specs", "identity"),
    [
        ({ProviderName.OPENAI: SPEC}, "752a8702bbd0faf8"),
        ({ProviderName.OPENAI: SPEC, ProviderName.NEBIUS: FULL}, "d34ce9d70db52b9c"),
        ({ProviderName.NEBIUS: FULL, ProviderName.OPENAI: SPEC}, "d34ce9d70db52b9c"),
    ],
)
def test_the_identity_of_a_run_never_changes(specs: dict[ProviderName, TrainingSpec], identity: str) -> None:
    assert run_id("a" * 64, specs) == identity


@pytest.mark.parametrize(
    "changes",
    [
        {"base_model": "gpt-4.1-2025-04-14"},
        {"method": "dpo"},
        {"n_epochs": 4},
        {"n_epochs": "auto"},
        {"batch_size": 8},
        {"learning_rate_multiplier": 0.5},
        {"seed": None},
        {"suffix": None},
    ],
    ids=str,
)
def test_another_spec_is_another_job_and_another_run(changes: dict[str, object]) -> None:
    other = replace(SPEC, **changes)  # type: ignore[arg-type]
    openai = ProviderName.OPENAI
    assert job_id("a" * 64, openai, other, "acme") != job_id("a" * 64, openai, SPEC, "acme")
    assert run_id("a" * 64, {openai: other}) != run_id("a" * 64, {openai: SPEC})


def test_how_a_number_is_written_does_not_matter() -> None:
    whole, point = replace(SPEC, learning_rate_multiplier=2), replace(SPEC, learning_rate_multiplier=2.0)
    assert whole == point
    openai = ProviderName.OPENAI
    assert job_id("a" * 64, openai, whole, "acme") == job_id("a" * 64, openai, point, "acme") == "e072c527ce220a18"


def test_every_spec_field_is_covered() -> None:
    assert {"base_model", "method", "n_epochs", "batch_size", "learning_rate_multiplier", "seed", "suffix"} == set(
        SPEC.as_dict()
    )


def test_another_dataset_provider_or_account_is_another_job() -> None:
    requested = [
        ("a" * 64, ProviderName.OPENAI, "acme"),
        ("b" * 64, ProviderName.OPENAI, "acme"),
        ("a" * 64, ProviderName.AZURE, "acme"),
        ("a" * 64, ProviderName.OPENAI, "Acme"),
    ]
    assert len({job_id(sha, provider, SPEC, account) for sha, provider, account in requested}) == len(requested)


def test_a_spec_survives_the_database() -> None:
    assert TrainingSpec.from_dict(FULL.as_dict()) == FULL


def test_a_tag_is_the_job_and_its_round() -> None:
    assert a_job(round=3).tag == "0123456789abcdef.3"


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_a_digest_does_not_depend_on_order(values: dict[str, object]) -> None:
    assert digest(values) == digest(dict(reversed(values.items())))


def test_digest_separates_its_parts() -> None:
    assert len({digest("a", "b"), digest("ab"), digest(["a", "b"]), digest("b", "a"), digest("a", "b", None)}) == 5


def test_a_dataset_is_its_bytes() -> None:
    training, validation = DATASET.training, part("b")
    assert DATASET.sha256 == training.sha256
    assert Dataset(training=replace(training, path=Path("elsewhere"))).sha256 == DATASET.sha256
    both = Dataset(training=training, validation=validation).sha256
    assert both == "6173cf9d3267e6b926102c8b149812658d05d834916fd23f7451c48c888147ab"
    assert Dataset(training=part("b"), validation=training).sha256 != both


def part(letter: str) -> DatasetPart:
    return DatasetPart(path=Path(f"{letter}.jsonl"), sha256=letter * 64, bytes=10, examples=10, tokens=None)
