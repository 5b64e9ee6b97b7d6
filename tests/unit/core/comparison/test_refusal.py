"""Refusals are recognised by their text, and answers that look like them are not."""

from __future__ import annotations

import pytest

from orchestrator.core.comparison.refusal import is_refusal


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot assist with this request.",
        "I can’t help with that.",
        "I cannot provide instructions for this.",
        "I won't do that.",
        "Sorry, I am unable to answer.",
        "Unfortunately, I can't share that.",
        "I apologize, but I must decline.",
        "As an AI language model, I cannot have opinions on this.",
        "  \nI am not able to do this.",
        "It would be inappropriate to answer.",
        "Es tut mir leid, aber das kann ich nicht beantworten.",
        "Je ne peux pas vous aider avec cela.",
        "Lo siento, no puedo ayudar con eso.",
        "很抱歉\uff0c我无法提供这样的内容。",
        "申し訳ありませんが、お答えできません。",
    ],
)
def test_refusal(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes, of course.",
        "I can't wait to see it!",
        "I cannot thank you enough for the question.",
        "I'm sorry to hear that. Restart the router first.",
        "Sorry about the delay. Your order is on its way.",
        "Unfortunately the train is late, take the bus.",
        "You can't combine the two offers.",
        "The short answer: it depends. If it fails, I'm sorry, but I can't help with that is not what we say.",
        "Ich kann das machen.",
        "As an AI model, I can explain both sides.",
    ],
)
def test_answer(text: str) -> None:
    assert not is_refusal(text)
