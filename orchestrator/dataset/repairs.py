"""Repairs: what polish does to one chat. Values in, values out; each done twice changes nothing more."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeGuard

from orchestrator.dataset.checks.errors import CHAT_KEYS, PAIR_KEYS
from orchestrator.dataset.checks.keys import may_be_dropped
from orchestrator.dataset.checks.message import ANY_ROLE, BASE
from orchestrator.dataset.checks.message import KEYS as MESSAGE_KEYS
from orchestrator.dataset.checks.parts import KEYS as PART_KEYS
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


def cut_end(body: Body) -> Body:
    """Without what comes after the last answer: a copied request ends with a question whose answer is not in it.

    A chat without any answer stays as it is; whether it is to be deleted is for a person to say.
    """
    messages = body.get("messages")
    if not _are_messages(messages):
        return body
    answers = [index for index, message in enumerate(messages) if message.get("role") == "assistant"]
    return body | {"messages": messages[: answers[-1] + 1]} if answers else body


def drop_unknown_keys(body: Body) -> Body:
    """Without keys that the training format does not know, such as an `id`, in the chat, its messages and parts.

    What may be a known key misspelt, or may decide whether the chat is to be learned, stays (`may_be_dropped`).
    """
    body = _known(body, CHAT_KEYS if "messages" in body else PAIR_KEYS)
    if isinstance(given := body.get("input"), dict):
        body = body | {"input": _known(given, CHAT_KEYS)}
    return _everywhere(body, lambda messages: [_with_known_keys(message) for message in messages])


def _with_known_keys(message: dict[str, Any]) -> dict[str, Any]:
    role, content = message.get("role"), message.get("content")
    known = MESSAGE_KEYS.get(role, ANY_ROLE) if isinstance(role, str) else ANY_ROLE
    message = _known(message, BASE | known)
    if isinstance(content, list):
        message = message | {"content": [_known_part(part) for part in content]}
    return message


def _known_part(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    return _known(part, PART_KEYS[kind]) if isinstance(kind, str) and kind in PART_KEYS else part


def _known(value: dict[str, Any], known: Mapping[str, type]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key in known or not may_be_dropped(key, known)}


def join_text_parts(roles: Collection[str]) -> Repair:
    """Content that is an array of texts as one text, in messages with these roles."""
    return lambda body: _everywhere(body, lambda messages: [_joined(message, roles) for message in messages])


def _joined(message: dict[str, Any], roles: Collection[str]) -> dict[str, Any]:
    content = message.get("content")
    if message.get("role") not in roles or not isinstance(content, list) or not content:
        return message
    if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        return message
    texts = [part.get("text") for part in content]
    joined = [text for text in texts if isinstance(text, str)]
    return message | {"content": "".join(joined)} if len(joined) == len(texts) else message


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
