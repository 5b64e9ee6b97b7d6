"""The page "Try a prompt": what its form accepts, and how replies are shown."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import ModelToAsk
from orchestrator.core.comparison.model_reply import ModelReply
from orchestrator.core.comparison.request_plan import InferencePrice
from orchestrator.core.inference import ChatReply
from orchestrator.web.dashboard.comparisons.question_page import (
    MAX_QUESTION_CHARACTERS,
    QuestionForm,
    build_question_page,
)
from orchestrator.web.problem import ProblemError

FORM = {"question": " Hello? ", "scope": "all", "max_output_tokens": "50", "max_usd": "0,5", "system": "Be brief."}


def reply(account: str, text: str, *, priced: bool = True, error: str | None = None) -> ModelReply:
    price = InferencePrice(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=2.0) if priced else None
    model = ModelToAsk(name=account, account=account, group="g", model="m", base_url="https://x/v1", price=price)
    if error:
        return ModelReply(model=model, error=error)
    answer = ChatReply(outcome=AnswerOutcome.ANSWERED, text=text, prompt_tokens=10, output_tokens=20)
    return ModelReply(model=model, reply=answer, seconds=1.25)


def test_form_becomes_a_question_with_its_limit() -> None:
    question, accounts, max_usd = QuestionForm.parse(urlencode(FORM)).build_question()
    assert [each["content"] for each in question.messages] == ["Be brief.", "Hello?"]
    assert (question.max_output_tokens, accounts, max_usd) == (50, None, 0.5)
    selected = urlencode([*(FORM | {"scope": "some"}).items(), ("account", "a"), ("account", "b")])
    assert QuestionForm.parse(selected).build_question()[1] == ("a", "b")


@pytest.mark.parametrize(
    "changes",
    [
        {"question": " "},
        {"question": "x" * (MAX_QUESTION_CHARACTERS + 1)},
        {"question": "a\0b"},
        {"scope": "some"},
        {"scope": ""},
        {"max_output_tokens": "0"},
        {"max_output_tokens": "many"},
        {"max_output_tokens": "²"},
        {"max_usd": "-1"},
        {"max_usd": "nan"},
    ],
)
def test_malformed_form_asks_no_model(changes: dict[str, str]) -> None:
    with pytest.raises(ProblemError) as refused:
        QuestionForm.parse(urlencode(FORM | changes)).build_question()
    assert refused.value.status == 422
    assert refused.value.hint


def test_equal_replies_are_one_card_and_failures_come_last() -> None:
    replies = [
        reply("a", "Your order is on its way."),
        reply("b", "Your order is on its way."),
        reply("c", "Your order is late."),
        reply("d", "", error="503: no healthy upstream"),
        reply("e", "Your order is on its way.", priced=False),
    ]
    page = build_question_page(QuestionForm(), ["a"]).with_replies(replies)
    common, other, failed = page.cards
    assert [account for account, _ in common.models] == ["a", "b", "e"]
    assert common.is_common
    assert common.models[0][1] == "20 tokens, 1.2 s, $0.000050"
    assert common.models[2][1] == "20 tokens, 1.2 s, price unknown"
    assert "".join(span.text for span in other.head if span.mark) == "late"
    assert (failed.outcome, failed.tone, failed.head[0].text) == ("failed", "bad", "503: no healthy upstream")
    assert page.summary == "5 models, 1 failed, price unknown"
