"""Canonical JSONL: the same bytes for the same examples, on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from orchestrator.dataset.example import ExampleBody

_encode = msgspec.json.Encoder().encode
_KEY_ORDER = {"role": 0, "content": 1}
_PLAIN_KEYS = ("role", "content")


def encode_canonical(body: ExampleBody) -> bytes:
    """One line: UTF-8 unescaped, no spaces, role and content first and every other key sorted, a line feed.

    An empty system message says nothing and is refused by providers; it is left out (and warned about). An empty list
    of tools is as good as none; some providers refuse it, and OpenAI's own guide has it.
    """
    body = remove_empty_fields(body)
    return _encode(body if _is_canonical_order(body) else _sort_keys(body)) + b"\n"


def _is_canonical_order(body: ExampleBody) -> bool:
    """Quickly: nothing but messages of role and content, in this order. Most examples of the world are so."""
    return len(body) == 1 and all(
        tuple(message) == _PLAIN_KEYS and type(message["content"]) is str for message in body.get("messages", ())
    )


def remove_empty_fields(body: ExampleBody) -> ExampleBody:
    """The example as it is written: without empty system messages and without an empty list of tools."""
    if "input" in body:
        return body | {"input": remove_empty_fields(body["input"])}
    if body.get("tools") == []:
        body = {key: item for key, item in body.items() if key != "tools"}
    if not any(map(_is_empty_system, body["messages"])):
        return body  # as most are
    return body | {"messages": [message for message in body["messages"] if not _is_empty_system(message)]}


def _is_empty_system(message: dict[str, Any]) -> bool:
    if message["role"] != "system":
        return False
    content = message["content"]
    return isinstance(content, str) and not content.strip()


def _sort_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (_KEY_ORDER.get(key, 2), key))
        return {key: _sort_keys(value[key]) for key in keys}
    if isinstance(value, list):
        return [_sort_keys(item) for item in value]
    return value
