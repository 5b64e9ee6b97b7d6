"""Order: who speaks when, who speaks last, and what is learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.checks.message import is_unknown_role, is_valid_weight
from orchestrator.dataset.codes import FindingCode
from orchestrator.dataset.example import ExampleIssue, PathSteps


def check_ending(messages: list[Any], steps: PathSteps) -> Iterator[ExampleIssue]:
    """A chat needs an assistant's answer, and ends with one."""
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
    if any(isinstance(role, str) and is_unknown_role(role) for role in roles):
        return  # that is an error already, and whether the assistant speaks is known only when it is corrected
    if messages and "assistant" not in roles:
        yield ExampleIssue(FindingCode.NO_ASSISTANT, steps, "the assistant says nothing in this chat")
    elif messages and roles[-1] != "assistant":
        place = (*steps, len(messages) - 1, "role")
        yield ExampleIssue(FindingCode.LAST_NOT_ASSISTANT, place, f"the last message is from {str(roles[-1])[:40]!r}")


def check_weights(messages: list[Any], steps: PathSteps) -> Iterator[ExampleIssue]:
    """At least one answer is to be learned."""
    answers = [message for message in messages if isinstance(message, dict) and message.get("role") == "assistant"]
    if answers and all(is_valid_weight(answer.get("weight")) and answer["weight"] == 0 for answer in answers):
        yield ExampleIssue(FindingCode.NOTHING_TO_LEARN, steps, "every answer has the weight 0")
