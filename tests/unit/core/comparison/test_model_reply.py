from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.core.comparison.comparison import ModelToAsk
from orchestrator.core.comparison.model_reply import find_price_obstacle
from orchestrator.core.comparison.request_plan import InferencePrice
from orchestrator.core.inference import ChatQuestion

PRICED = ModelToAsk(
    name="acme",
    account="acme",
    group="openai gpt",
    model="ft:gpt:acme",
    base_url="https://api.example.com/v1",
    price=InferencePrice(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=10.0),
)
QUESTION = ChatQuestion(messages=[{"role": "user", "content": "x" * 3000}], max_output_tokens=1000)


@pytest.mark.parametrize(("count", "max_usd", "is_refused"), [(1, 0.012, False), (2, 0.012, True), (2, None, False)])
def test_question_is_refused_if_it_may_cost_more_than_the_limit(
    count: int, max_usd: float | None, is_refused: bool
) -> None:
    obstacle = find_price_obstacle([PRICED] * count, QUESTION, max_usd)
    assert (obstacle is not None) is is_refused


def test_unknown_price_is_above_every_limit() -> None:
    unpriced = replace(PRICED, account="globex", price=None)
    assert "globex is unknown" in (find_price_obstacle([PRICED, unpriced], QUESTION, 1000.0) or "")
    assert find_price_obstacle([unpriced], QUESTION, None) is None
