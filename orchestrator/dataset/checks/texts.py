"""Texts of an example: every text that is said in it, with its role and place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.example import Body, Steps

Said = tuple[str, str, Steps]


def said(body: Body) -> Iterator[Said]:
    """Role, text and place, message by message. Wrong shapes are passed over: the errors name them."""
    if "messages" in body:
        yield from _said(body["messages"], ("messages",))
    else:
        given = body.get("input")
        yield from _said(given.get("messages") if isinstance(given, dict) else None, ("input", "messages"))
        yield from _said(body.get("preferred_output"), ("preferred_output",))
        yield from _said(body.get("non_preferred_output"), ("non_preferred_output",))


def message_lists(body: Body) -> Iterator[tuple[list[Any], Steps]]:
    """The lists of messages that begin a chat: where a system message may stand."""
    given = body if "messages" in body else body.get("input")
    messages = given.get("messages") if isinstance(given, dict) else None
    if isinstance(messages, list):
        yield messages, ("messages",) if given is body else ("input", "messages")


def _said(messages: object, steps: Steps) -> Iterator[Said]:
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, dict):
            role, content = message.get("role"), message.get("content")
            if isinstance(content, str):
                yield str(role), content, (*steps, index, "content")
            elif isinstance(content, list):
                yield from _parts(str(role), content, (*steps, index, "content"))


def _parts(role: str, parts: list[Any], steps: Steps) -> Iterator[Said]:
    for index, part in enumerate(parts):
        if isinstance(part, dict) and isinstance(text := part.get("text"), str):
            yield role, text, (*steps, index, "text")
