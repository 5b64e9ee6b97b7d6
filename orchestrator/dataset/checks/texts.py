"""Texts of an example: every text that is said in it, with its role and place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.example import Body, Steps

OUTPUTS = ("preferred_output", "non_preferred_output")

Said = tuple[str, str, Steps]


def said(body: Body) -> Iterator[Said]:
    """Role, text and place, message by message. Wrong shapes are passed over: the errors name them."""
    for message, steps in all_messages(body):
        role, content = message.get("role"), message.get("content")
        if isinstance(content, str):
            yield str(role), content, (*steps, "content")
        elif isinstance(content, list):
            yield from _parts(str(role), content, (*steps, "content"))


def all_messages(body: Body) -> Iterator[tuple[dict[str, Any], Steps]]:
    """Every message of the example, a pair's answers included."""
    lists = list(message_lists(body))
    if "messages" not in body:
        lists += [(body[key], (key,)) for key in OUTPUTS if isinstance(body.get(key), list)]
    for messages, steps in lists:
        for index, message in enumerate(messages):
            if isinstance(message, dict):
                yield message, (*steps, index)


def message_lists(body: Body) -> Iterator[tuple[list[Any], Steps]]:
    """The list of messages that begins a chat: where a system message may stand."""
    given = body if "messages" in body else body.get("input")
    messages = given.get("messages") if isinstance(given, dict) else None
    if isinstance(messages, list):
        yield messages, ("messages",) if given is body else ("input", "messages")


def _parts(role: str, parts: list[Any], steps: Steps) -> Iterator[Said]:
    for index, part in enumerate(parts):
        if isinstance(part, dict) and isinstance(text := part.get("text"), str):
            yield role, text, (*steps, index, "text")
