"""Texts of an example: every text that is said in it, with its role and place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.example import ExampleBody, PathSteps

PAIR_OUTPUT_KEYS = ("preferred_output", "non_preferred_output")

MessageText = tuple[str, str, PathSteps]


def iter_texts(body: ExampleBody) -> Iterator[MessageText]:
    """Role, text and place, message by message. Wrong shapes are passed over: the errors name them."""
    for message, steps in iter_messages(body):
        role, content = message.get("role"), message.get("content")
        if isinstance(content, str):
            yield str(role), content, (*steps, "content")
        elif isinstance(content, list):
            yield from _iter_part_texts(str(role), content, (*steps, "content"))


def iter_messages(body: ExampleBody) -> Iterator[tuple[dict[str, Any], PathSteps]]:
    """Every message of the example, a pair's answers included."""
    lists = list(iter_message_lists(body))
    if "messages" not in body:
        lists += [(body[key], (key,)) for key in PAIR_OUTPUT_KEYS if isinstance(body.get(key), list)]
    for messages, steps in lists:
        for index, message in enumerate(messages):
            if isinstance(message, dict):
                yield message, (*steps, index)


def iter_message_lists(body: ExampleBody) -> Iterator[tuple[list[Any], PathSteps]]:
    """The list of messages that begins a chat: where a system message may stand."""
    given = body if "messages" in body else body.get("input")
    messages = given.get("messages") if isinstance(given, dict) else None
    if isinstance(messages, list):
        yield messages, ("messages",) if given is body else ("input", "messages")


def _iter_part_texts(role: str, parts: list[Any], steps: PathSteps) -> Iterator[MessageText]:
    for index, part in enumerate(parts):
        if isinstance(part, dict) and isinstance(text := part.get("text"), str):
            yield role, text, (*steps, index, "text")
