"""Order: who speaks when, who speaks last, and what is learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.checks.message import is_unknown_role, is_weight
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Fault, Steps


def ending_errors(messages: list[Any], steps: Steps) -> Iterator[Fault]:
    """A chat needs an assistant's answer, and ends with one."""
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
    if any(isinstance(role, str) and is_unknown_role(role) for role in roles):
        return  # that is an error already, and whether the assistant speaks is known only when it is corrected
    if messages and "assistant" not in roles:
        yield Fault(Code.NO_ASSISTANT, steps, "the assistant says nothing in this chat")
    elif messages and roles[-1] != "assistant":
        place = (*steps, len(messages) - 1, "role")
        yield Fault(Code.LAST_NOT_ASSISTANT, place, f"the last message is from {str(roles[-1])[:40]!r}")


def learning_errors(messages: list[Any], steps: Steps) -> Iterator[Fault]:
    """At least one answer is to be learned."""
    answers = [message for message in messages if isinstance(message, dict) and message.get("role") == "assistant"]
    if answers and all(is_weight(answer.get("weight")) and answer["weight"] == 0 for answer in answers):
        yield Fault(Code.NOTHING_TO_LEARN, steps, "every answer has the weight 0")
