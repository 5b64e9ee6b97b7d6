from __future__ import annotations

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import ModelToAsk
from orchestrator.core.comparison.model_reply import ModelReply, find_price_obstacle
from orchestrator.core.comparison.request_plan import InferencePrice
from orchestrator.core.inference import ChatQuestion, ChatReply
from orchestrator.core.structs import replace

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


def test_price_is_that_of_the_messages_in_utf8_and_of_the_longest_answer() -> None:
    # 32 bytes of frame, 300 two-byte letters: 632 bytes are 211 tokens, and 8 more; 10 answer tokens cost ten times.
    question = ChatQuestion(messages=[{"role": "user", "content": "é" * 300}], max_output_tokens=10)
    usd = (211 + 8 + 100) / 1e6
    assert find_price_obstacle([PRICED] * 2, question, 2 * usd) is None
    assert find_price_obstacle([PRICED] * 2, question, 2 * usd - 1e-9) is not None


def test_reply_has_text_outcome_and_price() -> None:
    reply = ChatReply(outcome=AnswerOutcome.TRUNCATED, text="Yes", prompt_tokens=100, output_tokens=10)
    found = ModelReply(model=PRICED, reply=reply)
    assert (found.text, found.outcome) == ("Yes", AnswerOutcome.TRUNCATED)
    assert found.usd == pytest.approx(0.0002)
    failed = ModelReply(model=PRICED, error="no connection")
    assert (failed.text, failed.outcome, failed.usd) == ("no connection", AnswerOutcome.ERROR, None)
    assert ModelReply(model=PRICED).text == ""
