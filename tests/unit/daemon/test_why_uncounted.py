"""Why a dataset has no number of tokens: what is said of the price depends on it."""

from __future__ import annotations

import pytest

from orchestrator.core.price import Unpriced
from orchestrator.core.spec import Method, TrainingSpec
from orchestrator.daemon.desired import why_uncounted


@pytest.mark.parametrize(
    ("base_model", "method", "has_tokenizer", "why"),
    [
        ("gpt-4.1-2025-04-14", "supervised", False, Unpriced.CONTENT),
        ("Qwen/Qwen3-8B", "supervised", True, Unpriced.CONTENT),
        ("Qwen/Qwen3-8B", "supervised", False, Unpriced.TOKENIZER),
        ("gpt-4.1-2025-04-14", "dpo", False, Unpriced.PAIRS),
    ],
)
def test_why_the_tokens_are_not_known(base_model: str, method: Method, has_tokenizer: bool, why: Unpriced) -> None:
    spec = TrainingSpec(base_model=base_model, n_epochs=3, seed=1, method=method)
    assert why_uncounted(spec, has_tokenizer=has_tokenizer) is why
