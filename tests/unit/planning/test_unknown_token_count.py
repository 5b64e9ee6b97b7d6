"""The reason why the tokens of a dataset are not counted, which the price names."""

from __future__ import annotations

import pytest

from orchestrator.core.plans.price import UnknownPriceReason
from orchestrator.core.spec import Method, TrainingSpec
from orchestrator.planning.desired_state import get_uncounted_reason


@pytest.mark.parametrize(
    ("base_model", "method", "has_tokenizer", "why"),
    [
        ("gpt-4.1-2025-04-14", "supervised", False, UnknownPriceReason.UNCOUNTABLE_CONTENT),
        ("Qwen/Qwen3-8B", "supervised", True, UnknownPriceReason.UNCOUNTABLE_CONTENT),
        ("Qwen/Qwen3-8B", "supervised", False, UnknownPriceReason.NO_TOKENIZER),
        ("gpt-4.1-2025-04-14", "dpo", False, UnknownPriceReason.DPO_NOT_LISTED),
    ],
)
def test_unknown_token_count_has_a_reason(
    base_model: str, method: Method, has_tokenizer: bool, why: UnknownPriceReason
) -> None:
    spec = TrainingSpec(base_model=base_model, n_epochs=3, seed=1, method=method)
    assert get_uncounted_reason(spec, has_tokenizer=has_tokenizer) is why
