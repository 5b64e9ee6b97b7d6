"""Encodes examples as canonical JSONL: the same bytes for the same examples, on every machine.

The hash of these bytes is part of job ids. A change of the encoding would start every job again, and bill it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from orchestrator.dataset.example import ExampleBody

_encode = msgspec.json.Encoder().encode
_KEY_ORDER = {"role": 0, "content": 1}
_PLAIN_KEYS = ("role", "content")


def encode_canonical(body: ExampleBody) -> bytes:
    """Encode an example as one line of unescaped UTF-8 without spaces: role and content first, other keys sorted.

    Providers refuse an empty system message, so it is left out (with a warning). Some providers refuse an empty list
    of tools, although OpenAI's own guide has one, so it is left out, too.
    """
    body = remove_empty_fields(body)
    return _encode(body if _is_canonical_order(body) else _sort_keys(body)) + b"\n"


def _is_canonical_order(body: ExampleBody) -> bool:
    """Whether there are only messages of role and content, in this order, as in most examples. Fast path."""
    return len(body) == 1 and all(
        tuple(message) == _PLAIN_KEYS and type(message["content"]) is str for message in body.get("messages", ())
    )


def remove_empty_fields(body: ExampleBody) -> ExampleBody:
    """Return the example without empty system messages and without an empty list of tools."""
    if "input" in body:
        return body | {"input": remove_empty_fields(body["input"])}
    if body.get("tools") == []:
        body = {key: item for key, item in body.items() if key != "tools"}
    if not any(map(_is_empty_system, body["messages"])):
        return body  # most examples
    return body | {"messages": [message for message in body["messages"] if not _is_empty_system(message)]}


def list_written_messages(messages: list[dict[str, Any]]) -> list[int]:
    """List the indexes of the messages that `remove_empty_fields` keeps."""
    return [index for index, message in enumerate(messages) if not _is_empty_system(message)]


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
