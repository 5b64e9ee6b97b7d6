"""The repairs of one chat. Each is a pure and idempotent function."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeGuard

from orchestrator.dataset.checks.messages import ANY_ROLE_KEYS, COMMON_MESSAGE_KEYS, MESSAGE_KEYS, PART_KEYS
from orchestrator.dataset.checks.object_keys import is_droppable_key
from orchestrator.dataset.checks.pii import redact_text
from orchestrator.dataset.checks.structure import CHAT_KEYS, PAIR_KEYS
from orchestrator.dataset.checks.text_walk import PAIR_OUTPUT_KEYS
from orchestrator.dataset.example import ExampleBody

Repair = Callable[[ExampleBody], ExampleBody]
Messages = list[dict[str, Any]]


def merge_system(body: ExampleBody) -> ExampleBody:
    """Merge all system messages into the first, separated by a blank line; drop empty and repeated ones."""
    return _map_chat_messages(body, _merge_system_messages)


def _merge_system_messages(messages: Messages) -> Messages:
    texts = [text for message in messages if _is_system(message) and (text := _get_text(message).strip())]
    if len([message for message in messages if _is_system(message)]) == len(texts) <= 1 and _has_no_later_system(
        messages
    ):
        return messages
    rest = [message for message in messages if not _is_system(message)]
    first = {"role": "system", "content": "\n\n".join(dict.fromkeys(texts))}
    return [first, *rest] if texts else rest


def _has_no_later_system(messages: Messages) -> bool:
    return not any(_is_system(message) for message in messages[1:])


def cut_end(body: ExampleBody) -> ExampleBody:
    """Remove the messages after the last answer: a copied API request ends with a question without its answer.

    A chat without any answer is unchanged; a person decides whether to delete it.
    """
    messages = body.get("messages")
    if not _is_message_list(messages):
        return body
    answers = [index for index, message in enumerate(messages) if message.get("role") == "assistant"]
    return body | {"messages": messages[: answers[-1] + 1]} if answers else body


def drop_unknown_keys(body: ExampleBody) -> ExampleBody:
    """Remove keys that are not part of the training format, such as an `id`, from the chat, its messages and parts.

    A key that may be misspelt, or may decide whether the chat should be learned, stays (`is_droppable_key`).
    """
    body = _drop_keys(body, CHAT_KEYS if "messages" in body else PAIR_KEYS)
    if isinstance(pair_input := body.get("input"), dict):
        body = body | {"input": _drop_keys(pair_input, CHAT_KEYS)}
    return _map_all_messages(body, lambda messages: [_drop_message_keys(message) for message in messages])


def _drop_message_keys(message: dict[str, Any]) -> dict[str, Any]:
    role, content = message.get("role"), message.get("content")
    known = MESSAGE_KEYS.get(role, ANY_ROLE_KEYS) if isinstance(role, str) else ANY_ROLE_KEYS
    message = _drop_keys(message, COMMON_MESSAGE_KEYS | known)
    if isinstance(content, list):
        message = message | {"content": [_drop_part_keys(part) for part in content]}
    return message


def _drop_part_keys(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    return _drop_keys(part, PART_KEYS[kind]) if isinstance(kind, str) and kind in PART_KEYS else part


def _drop_keys(value: dict[str, Any], known: Mapping[str, type]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key in known or not is_droppable_key(key, known)}


def join_text_parts(roles: Collection[str]) -> Repair:
    """Return a repair that joins content in text parts to one string, in messages with these roles."""
    return lambda body: _map_all_messages(
        body, lambda messages: [_join_message_parts(message, roles) for message in messages]
    )


def _join_message_parts(message: dict[str, Any], roles: Collection[str]) -> dict[str, Any]:
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in roles or not isinstance(content, list) or not content:
        return message
    if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        return message
    texts = [part.get("text") for part in content]
    joined = [text for text in texts if isinstance(text, str)]
    return message | {"content": "".join(joined)} if len(joined) == len(texts) else message


def drop_empty_system(body: ExampleBody) -> ExampleBody:
    """Remove empty system messages."""
    return _map_chat_messages(
        body,
        lambda messages: [message for message in messages if not _is_system(message) or _get_text(message).strip()],
    )


def set_system_message(text: str) -> Repair:
    """Return a repair that sets the first system message of every chat."""

    def repair(messages: Messages) -> Messages:
        rest = messages[1:] if messages and _is_system(messages[0]) else messages
        return [{"role": "system", "content": text}, *rest]

    return lambda body: _map_chat_messages(body, repair)


def rename_user(old: Sequence[str], new: str) -> Repair:
    """Return a repair that renames the user in every text and every `name`."""
    return lambda body: _map_all_messages(
        body, lambda messages: [_rename_in_message(message, old, new) for message in messages]
    )


def replace_names(old: Sequence[str], new: str, text: str) -> str:
    """Replace the old names in the text by the new one: whole words only, including possessives."""
    return re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, old))})(?!\w)", lambda _: new, text)


def _rename_in_message(message: dict[str, Any], old: Sequence[str], new: str) -> dict[str, Any]:
    changed = _map_text(message, lambda text: replace_names(old, new, text))
    name = message.get("name")
    if isinstance(name, str) and (new_name := replace_names(old, new, name)) != name:
        changed = changed | {"name": re.sub(r"[\s<|\\/>]", "_", new_name)}
    return changed


def redact_pii(body: ExampleBody) -> ExampleBody:
    """Replace keys, e-mail addresses and telephone numbers by `[key]`, `[e-mail]` and `[phone]`."""
    return _map_all_messages(body, lambda messages: [_map_text(message, redact_text) for message in messages])


def _is_system(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") == "system"


def _get_text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
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


def _map_chat_messages(body: ExampleBody, change: Callable[[Messages], Messages]) -> ExampleBody:
    """Apply a change to the messages at the start of the chat, where system messages are."""
    if isinstance(pair_input := body.get("input"), dict):
        return body | {"input": _map_chat_messages(pair_input, change)}
    messages = body.get("messages")
    return body | {"messages": change(messages)} if _is_message_list(messages) else body


def _map_all_messages(body: ExampleBody, change: Callable[[Messages], Messages]) -> ExampleBody:
    """Apply a change to every list of messages, including the answers of a pair."""
    body = _map_chat_messages(body, change)
    for output in PAIR_OUTPUT_KEYS:
        if _is_message_list(answers := body.get(output)):
            body = body | {output: change(answers)}
    return body


def _is_message_list(value: Any) -> TypeGuard[Messages]:
    return isinstance(value, list) and all(isinstance(message, dict) for message in value)
