"""Model names: the base model of a fine-tuned one, and names without their version."""

from __future__ import annotations

import pytest

from orchestrator.core.model_name import find_named_base_model, get_base_model, strip_date, strip_version


@pytest.mark.parametrize(
    ("model", "base_model", "without_date", "without_version"),
    [
        ("gpt-4.1", "gpt-4.1", "gpt-4.1", "gpt-4.1"),
        ("gpt-4.1-2025-04-14", "gpt-4.1-2025-04-14", "gpt-4.1", "gpt-4.1"),
        ("ft:gpt-4.1-2025-04-14:acme:tone:abc", "gpt-4.1-2025-04-14", "gpt-4.1", "gpt-4.1"),
        ("ft:gpt-4.1", "gpt-4.1", "gpt-4.1", "gpt-4.1"),
        ("gpt-4-0613", "gpt-4-0613", "gpt-4-0613", "gpt-4"),
        ("gpt-4.1-mini-preview", "gpt-4.1-mini-preview", "gpt-4.1-mini-preview", "gpt-4.1-mini-preview"),
        ("draft:a", "draft:a", "draft:a", "draft:a"),
        ("", "", "", ""),
    ],
)
def test_model_name_is_split_into_its_parts(
    model: str, base_model: str, without_date: str, without_version: str
) -> None:
    assert get_base_model(model) == base_model
    assert strip_date(base_model) == without_date
    assert strip_version(base_model) == without_version


@pytest.mark.parametrize(
    ("model", "base_model"),
    [
        ("ft:gpt-4.1-2025-04-14:acme:tone:abc", "gpt-4.1-2025-04-14"),
        ("gpt-4.1-mini-2025-04-14.ft-0a1b2c", "gpt-4.1-mini-2025-04-14"),
        ("gpt-4.1-mini-2025-04-14.ft-0a1b2c-tone", "gpt-4.1-mini-2025-04-14"),
        ("accounts/acme/models/tone", None),
        ("my-deployment", None),
        ("gpt-4.1", None),
    ],
)
def test_id_of_a_fine_tuned_model_may_name_its_base_model(model: str, base_model: str | None) -> None:
    assert find_named_base_model(model) == base_model
