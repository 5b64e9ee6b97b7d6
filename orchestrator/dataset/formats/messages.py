"""A bare array of messages: what a chat frontend sends to an API as `messages`."""

from __future__ import annotations

from orchestrator.dataset.example import PathSteps
from orchestrator.dataset.formats.shape import ChatFormat, ParsedChat


def parse_message_array(value: object) -> ParsedChat | None:
    """`[{"role": …, "content": …}, …]`"""
    if isinstance(value, list) and any(
        isinstance(item, dict) and ("role" in item or "content" in item) for item in value
    ):
        return ParsedChat("messages", {"messages": value}, _to_array_path)
    return None


def _to_array_path(steps: PathSteps) -> PathSteps:
    return steps[1:]


MESSAGES = ChatFormat(
    "messages",
    "One chat as a bare array of messages: a whole file, or one line.",
    '[\n  {"role": "user", "content": "When do you open?"},\n  {"role": "assistant", "content": "At ten."}\n]\n',
    parse_message_array,
)
