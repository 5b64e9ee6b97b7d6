"""Retirement dates that providers have published, as dated data."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import ConfigError
from orchestrator.core.plans.retirement import Retirement
from orchestrator.inputs.retirements import load_retirements
from orchestrator.sandbox.simulation.model_catalogue import CATALOGUE

ROW = '[[retirement]]\nprovider = "together"\nbase_model = "llama"\nas_of = 2026-01-31\nsource = "a mail"\n'


@pytest.mark.parametrize(
    ("provider", "base_model", "inference_ends"),
    [
        ("openai", "gpt-4.1-mini-2025-04-14", date(2027, 1, 14)),
        ("openai", "gpt-4o-2024-11-20", date(2027, 1, 14)),
        ("openai", "ft:gpt-4.1-2025-04-14:acme:tone:abc", date(2027, 1, 14)),
        ("openai", "gpt-4.1-nano", date(2026, 10, 23)),
        ("azure", "gpt-4.1-mini-2025-04-14", date(2027, 10, 14)),
        ("azure", "gpt-4o-2024-08-06", date(2027, 10, 1)),
        ("azure", "gpt-4o-2024-11-20", None),
        ("openai-compatible", "gpt-4.1", None),
        ("openai", "sandbox-small", None),
    ],
)
def test_shipped_retirement_dates_are_valid(provider: str, base_model: str, inference_ends: date | None) -> None:
    known = load_retirements().find(provider, base_model)
    assert (known.inference_ends if known else None) == inference_ends


def test_every_shipped_row_has_a_known_provider_and_ordered_dates() -> None:
    for (provider, _), row in load_retirements().entries.items():
        assert provider in {name.value for name in ProviderName}
        assert row.new_customers_end is not None
        assert row.training_ends is not None
        assert row.new_customers_end < row.training_ends
        assert row.source
        assert row.tentative is (provider == "azure")


def test_sandbox_models_match_the_shipped_list() -> None:
    known = load_retirements()
    for model in CATALOGUE.values():
        row = known.find("openai", model.id)
        if model.shutdown_date:
            assert row is not None
            assert row.inference_ends == date.fromisoformat(model.shutdown_date)


def test_custom_retirement_list_replaces_the_shipped_list(tmp_path: Path) -> None:
    path = tmp_path / "retirements.toml"
    path.write_text(f"{ROW}inference_ends = 2027-05-01\n")
    own = load_retirements(path)
    assert own.find("together", "llama") == Retirement(
        as_of=date(2026, 1, 31), source="a mail", inference_ends=date(2027, 5, 1)
    )
    assert own.find("openai", "gpt-4.1") is None


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("[[retirement]]\n", 4),
        (f'{ROW}inference_ends = "2027-05-01"\n', 1),
        (f"{ROW}tentative = 1\n", 1),
        (f"{ROW}shutdown = 2027-05-01\n", 1),
        ("retirement = 1\n", 1),
    ],
)
def test_every_problem_of_a_list_is_reported(tmp_path: Path, text: str, problems: int) -> None:
    path = tmp_path / "retirements.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_retirements(path)
    assert len(caught.value.problems) == problems
