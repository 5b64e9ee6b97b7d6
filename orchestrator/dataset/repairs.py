"""Repairs: what polish does to one chat. Values in, values out; each done twice changes nothing more."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from orchestrator.dataset.checks.personal import redacted
from orchestrator.dataset.checks.texts import OUTPUTS
from orchestrator.dataset.example import Body

Repair = Callable[[Body], Body]
Messages = list[dict[str, Any]]


def merge_system(body: Body) -> Body:
    """All system messages as one at the beginning, a blank line between them; empty and repeated ones dropped."""
    return _with_messages(body, _merged)


def _merged(messages: Messages) -> Messages:
    texts = [text for message in messages if _is_system(message) and (text := _text(message).strip())]
    if len([message for message in messages if _is_system(message)]) == len(texts) <= 1 and _leads(messages):
        return messages
    rest = [message for message in messages if not _is_system(message)]
    first = {"role": "system", "content": "\n\n".join(dict.fromkeys(texts))}
    return [first, *rest] if texts else rest


def _leads(messages: Messages) -> bool:
    return not any(_is_system(message) for message in messages[1:])


def drop_empty_system(body: Body) -> Body:
    """Without system messages that say nothing."""
    return _with_messages(
        body, lambda messages: [one for one in messages if not _is_system(one) or _text(one).strip()]
    )


def common_system(text: str) -> Repair:
    """The same first system message in every chat."""

    def repair(messages: Messages) -> Messages:
        rest = messages[1:] if messages and _is_system(messages[0]) else messages
        return [{"role": "system", "content": text}, *rest]

    return lambda body: _with_messages(body, repair)


def rename(old: Sequence[str], new: str) -> Repair:
    """Another name for the user, in every text and every `name`."""
    return lambda body: _everywhere(body, lambda messages: [_renamed(message, old, new) for message in messages])


def renamed(old: Sequence[str], new: str, text: str) -> str:
    """The text with the new name in place of the old ones: whole words only, possessives too."""
    return re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, old))})(?!\w)", lambda _: new, text)


def _renamed(message: dict[str, Any], old: Sequence[str], new: str) -> dict[str, Any]:
    changed = _map_text(message, lambda text: renamed(old, new, text))
    name = message.get("name")
    if isinstance(name, str) and (given := renamed(old, new, name)) != name:
        changed = changed | {"name": re.sub(r"[\s<|\\/>]", "_", given)}
    return changed


def redact(body: Body) -> Body:
    """`[key]`, `[e-mail]` and `[phone]` in place of keys, addresses and numbers."""
    return _everywhere(body, lambda messages: [_map_text(message, redacted) for message in messages])


def _is_system(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") == "system"


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _map_text(message: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, str):
        return message | {"content": change(content)}
    if isinstance(content, list):
        return message | {"content": [_map_part(part, change) for part in content]}
    return message


def _map_part(part: Any, change: Callable[[str], str]) -> Any:
    if isinstance(part, dict) and isinstance(text := part.get("text"), str):
        return part | {"text": change(text)}
    return part


def _with_messages(body: Body, change: Callable[[Messages], Messages]) -> Body:
    """Change the messages that begin the chat; a pair's answers have no system message."""
    if isinstance(given := body.get("input"), dict):
        return body | {"input": _with_messages(given, change)}
    messages = body.get("messages")
    return body | {"messages": change(messages)} if _are_messages(messages) else body


def _everywhere(body: Body, change: Callable[[Messages], Messages]) -> Body:
    """Change every list of messages, answers included."""
    body = _with_messages(body, change)
    for output in OUTPUTS:
        if _are_messages(answers := body.get(output)):
            body = body | {output: change(answers)}
    return body


def _are_messages(value: Any) -> TypeGuard[Messages]:
    return isinstance(value, list) and all(isinstance(message, dict) for message in value)
