"""The reply of one model to a single question, and what questions cost at most."""

from __future__ import annotations

import json
from collections.abc import Sequence

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import ModelToAsk
from orchestrator.core.comparison.request_plan import estimate_tokens
from orchestrator.core.inference import ChatQuestion, ChatReply
from orchestrator.core.structs import Struct
from orchestrator.core.text import format_different_usd, format_usd


class ModelReply(Struct, frozen=True, kw_only=True):
    """What one model replied to one question, or why it did not."""

    model: ModelToAsk
    reply: ChatReply | None = None
    error: str | None = None
    seconds: float | None = None

    @property
    def usd(self) -> float | None:
        """What the question cost; None: the price or the number of tokens is unknown."""
        reply = self.reply
        return self.model.calculate_usd(reply.prompt_tokens, reply.output_tokens) if reply is not None else None

    @property
    def outcome(self) -> AnswerOutcome:
        """How the call ended."""
        return self.reply.outcome if self.reply is not None else AnswerOutcome.ERROR

    @property
    def text(self) -> str:
        """The text of the reply, or why there is none."""
        return self.reply.text if self.reply is not None else self.error or ""


def find_price_obstacle(models: Sequence[ModelToAsk], question: ChatQuestion, max_usd: float | None) -> str | None:
    """Return why the models must not be asked with this limit, or None. An unknown price is above every limit."""
    if max_usd is None:
        return None
    unknown = [model.account for model in models if model.price is None]
    if unknown:
        return f"the price of calling the model of {unknown[0]} is unknown, and the limit is {format_usd(max_usd)}"
    tokens = estimate_tokens(json.dumps([dict(each) for each in question.messages], ensure_ascii=False)) + 8
    usd = sum(model.price.calculate_usd(tokens, question.max_output_tokens) for model in models if model.price)
    if usd > max_usd:
        price, limit = format_different_usd(usd, max_usd)
        return f"the question may cost {price}, and the limit is {limit}"
    return None
