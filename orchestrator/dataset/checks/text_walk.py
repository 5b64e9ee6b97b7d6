"""Iterates over the messages and texts of an example, with their key paths. Skips values of the wrong type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.example import ExampleBody, KeyPath

PAIR_OUTPUT_KEYS = ("preferred_output", "non_preferred_output")

MessageText = tuple[str, str, KeyPath]
"""Role, text, and key path of the text."""


def iter_texts(body: ExampleBody) -> Iterator[MessageText]:
    """Yield every text in order. Values of the wrong type are skipped; `structure` reports them."""
    for message, key_path in iter_messages(body):
        role, content = message.get("role"), message.get("content")
        if isinstance(content, str):
            yield str(role), content, (*key_path, "content")
        elif isinstance(content, list):
            yield from _iter_part_texts(str(role), content, (*key_path, "content"))


def iter_messages(body: ExampleBody) -> Iterator[tuple[dict[str, Any], KeyPath]]:
    """Yield every message of the example, including the answers of a preference pair."""
    lists = list(iter_message_lists(body))
    if "messages" not in body:
        lists += [(body[key], (key,)) for key in PAIR_OUTPUT_KEYS if isinstance(body.get(key), list)]
    for messages, key_path in lists:
        for index, message in enumerate(messages):
            if isinstance(message, dict):
                yield message, (*key_path, index)


def iter_message_lists(body: ExampleBody) -> Iterator[tuple[list[Any], KeyPath]]:
    """Yield the list of messages at the start of the chat, the only one that may contain a system message."""
    container = body if "messages" in body else body.get("input")
    messages = container.get("messages") if isinstance(container, dict) else None
    if isinstance(messages, list):
        yield messages, ("messages",) if container is body else ("input", "messages")


def _iter_part_texts(role: str, parts: list[Any], key_path: KeyPath) -> Iterator[MessageText]:
    for index, part in enumerate(parts):
        if isinstance(part, dict) and isinstance(text := part.get("text"), str):
            yield role, text, (*key_path, index, "text")
