"""The refusal of a conversion, and the checks that every target shares.

A conversion keeps everything or refuses the chat. A dropped weight or name would change what the model learns without
a sign of it, and two accounts of one run would be trained on different things.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from orchestrator.dataset.example import ExampleBody, KeyPath, format_json_path

_HINTS = {
    "weight": "Remove `weight` if it is 1, the default. Delete the chat if an answer must not be learned.",
    "name": "Remove `name`, or write the name into the text.",
    "parallel_tool_calls": "Remove `parallel_tool_calls`.",
    "refusal": "Write the refusal as the `content` of the answer.",
    "tools": "Train this account with chats that have no tools.",
    "tool_calls": "Train this account with chats that have no tool calls.",
    "strict": "Remove `strict`.",
    "detail": "Remove `detail`.",
}


class ConversionRefused(ValueError):
    """The target format cannot hold a value of the chat. `key_path` leads to the value in the canonical body."""

    def __init__(self, key_path: KeyPath, reason: str, hint: str = "") -> None:
        super().__init__(f"{format_json_path(key_path)}: {reason}")
        self.key_path = key_path
        self.reason = reason
        self.hint = hint


def check_convertible_keys(
    value: Mapping[str, Any], allowed: Collection[str], key_path: KeyPath, target: str
) -> None:
    """Refuse the first key that has no place in the target."""
    for key in value:
        if key not in allowed:
            raise ConversionRefused((*key_path, key), f'{target} has no place for "{key}"', _HINTS.get(key, ""))


def split_system_message(
    example: ExampleBody, allowed: Collection[str], target: str
) -> tuple[dict[str, Any] | None, Sequence[tuple[int, dict[str, Any]]]]:
    """Return the system message, if there is one, and the other messages with their indexes.

    Refuses a preference pair, a key other than messages and `allowed`, and a system message that is not the first.
    """
    if "messages" not in example:
        raise ConversionRefused((), f"{target} is trained with chats, and this is a preference pair")
    check_convertible_keys(example, ("messages", *allowed), (), target)
    messages = list(enumerate(example["messages"]))
    system = messages[0][1] if messages and messages[0][1]["role"] == "system" else None
    rest = messages[1:] if system else messages
    for index, message in rest:
        if message["role"] == "system":
            reason = f"{target} has one system message, before the first turn"
            raise ConversionRefused(("messages", index, "role"), reason, "Move its text to the first message.")
    return system, rest


def check_turn_order(turns: Sequence[tuple[int, str]], target: str) -> None:
    """Refuse turns that do not alternate between user and assistant, or do not start with the user and end with the
    assistant. A turn is the index of its first message and its role."""
    for position, (index, role) in enumerate(turns):
        expected = ("user", "assistant")[position % 2]
        if role == expected:
            continue
        key_path: KeyPath = ("messages", index, "role")
        if not position:
            raise ConversionRefused(key_path, f"the first turn of a chat for {target} must be from the user")
        hint = "Join the two turns to one, or delete one of them."
        raise ConversionRefused(key_path, f"{target} does not accept two {role} turns in a row", hint)
    if not turns or turns[-1][1] != "assistant":
        raise ConversionRefused(("messages",), f"the last turn of a chat for {target} must be from the assistant")


def list_content_texts(content: Any, key_path: KeyPath, target: str) -> list[str]:
    """Return the texts of a content that is a string or a list of text parts. Refuses any other part."""
    if isinstance(content, str):
        return [content]
    return [get_part_text(part, (*key_path, index), target) for index, part in enumerate(content)]


def get_part_text(part: Mapping[str, Any], key_path: KeyPath, target: str) -> str:
    """Return the text of a text part. Refuses any other part."""
    if part["type"] != "text":
        hint = _HINTS.get(part["type"], "")
        raise ConversionRefused(key_path, f"{target} has no place for a part of type {part['type']!r} here", hint)
    return str(part["text"])
