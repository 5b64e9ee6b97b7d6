"""A bare array of messages: what a chat frontend sends to an API as `messages`."""

from __future__ import annotations

from orchestrator.dataset.example import Steps
from orchestrator.dataset.formats.shape import Format, Shape


def messages(value: object) -> Shape | None:
    """`[{"role": …, "content": …}, …]`"""
    if isinstance(value, list) and any(
        isinstance(item, dict) and ("role" in item or "content" in item) for item in value
    ):
        return Shape("messages", {"messages": value}, _back)
    return None


def _back(steps: Steps) -> Steps:
    return steps[1:]


MESSAGES = Format(
    "messages",
    "One chat as a bare array of messages: a whole file, or one line.",
    '[\n  {"role": "user", "content": "When do you open?"},\n  {"role": "assistant", "content": "At ten."}\n]\n',
    messages,
)
