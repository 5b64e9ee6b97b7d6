"""Errors of one message: its keys, role, content with parts and images, name and weight."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.checks.object_keys import check_keys, describe_type
from orchestrator.dataset.checks.special_tokens import OPENAI_SPECIAL_TOKENS
from orchestrator.dataset.example import ExampleIssue, KeyPath
from orchestrator.dataset.finding_codes import FindingCode

ROLES = ("system", "user", "assistant", "tool")
MESSAGE_KEYS: dict[str, dict[str, type]] = {
    "system": {"name": str},
    "user": {"name": str},
    "assistant": {"name": str, "weight": object, "tool_calls": list, "refusal": object},
    "tool": {"tool_call_id": str},
}
ANY_ROLE_KEYS: dict[str, type] = {key: kind for keys in MESSAGE_KEYS.values() for key, kind in keys.items()}
COMMON_MESSAGE_KEYS: dict[str, type] = {"role": object, "content": object}
_NAME = re.compile(r"[^\s<|\\/>]{1,64}")
_UNSUPPORTED_ROLE_HINTS = {
    "developer": "Use system; training files do not support developer.",
    "function": "Use tool.",
}
_ROLE_BY_ALIAS = {"human": "user", "customer": "user", "client": "user", "question": "user"} | dict.fromkeys(
    ("model", "bot", "gpt", "ai", "chatbot", "chatgpt", "char", "agent", "answer"), "assistant"
)
_PLAIN_ROLES = frozenset(("system", "user", "assistant"))

PART_KEYS: dict[str, dict[str, type]] = {
    "text": {"type": str, "text": str},
    "image_url": {"type": str, "image_url": dict},
    "refusal": {"type": str, "refusal": str},
}
PART_TYPES_BY_ROLE = {"user": ("text", "image_url"), "assistant": ("text", "refusal")}
IMAGE_DETAILS = ("auto", "low", "high")
_IMAGE_URL = re.compile(r"https?://[^\s/]+\S*|data:image/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+={0,2}")


def is_plain_message(message: object) -> bool:
    """Whether the message is only a valid role and a valid text, as most are. Fast path for `check_message`."""
    if type(message) is not dict or len(message) != 2:
        return False
    role, content = message.get("role"), message.get("content")
    if type(role) is not str or role not in _PLAIN_ROLES:
        return False
    return type(content) is str and "<|" not in content and bool(content) and not content.isspace()


def check_message(message: object, key_path: KeyPath) -> Iterator[ExampleIssue]:
    """Yield every error of the message."""
    if not isinstance(message, dict):
        hint = 'Write {"role": …, "content": …}.'
        yield ExampleIssue(
            FindingCode.WRONG_TYPE, key_path, f"a message must be an object, not {describe_type(message)}", hint
        )
        return
    role = message.get("role")
    yield from _check_role(message, key_path)
    known = MESSAGE_KEYS.get(role, ANY_ROLE_KEYS) if isinstance(role, str) else ANY_ROLE_KEYS
    yield from check_keys(message, COMMON_MESSAGE_KEYS | known, ("role",), key_path)
    yield from _check_content(message, key_path)
    yield from _check_name(message, key_path)
    if "weight" in message and not is_valid_weight(message["weight"]):
        yield ExampleIssue(
            FindingCode.BAD_WEIGHT, (*key_path, "weight"), f"the weight is {str(message['weight'])[:40]}"
        )
    if role == "tool" and "tool_call_id" not in message:
        yield ExampleIssue(FindingCode.MISSING_KEY, key_path, '"tool_call_id" is missing')


def _check_role(message: dict[str, Any], key_path: KeyPath) -> Iterator[ExampleIssue]:
    role = message.get("role")
    if "role" in message and (not isinstance(role, str) or role not in ROLES):
        hint = _role_hint(role) if isinstance(role, str) else ""
        yield ExampleIssue(FindingCode.UNKNOWN_ROLE, (*key_path, "role"), f"the role is {str(role)[:40]!r}", hint)


def is_unknown_role(role: str) -> bool:
    """Whether the speaker is unknown. `developer` and `function` are wrong, too, but are not the assistant."""
    return role not in ROLES and role not in _UNSUPPORTED_ROLE_HINTS


def _role_hint(role: str) -> str:
    if role in _UNSUPPORTED_ROLE_HINTS:
        return _UNSUPPORTED_ROLE_HINTS[role]
    plain = role.strip().lower()
    intended = plain if plain in ROLES else _ROLE_BY_ALIAS.get(plain)
    return f'Use "{intended}".' if intended else ""


def _check_content(message: dict[str, Any], key_path: KeyPath) -> Iterator[ExampleIssue]:
    content, place = message.get("content"), (*key_path, "content")
    if isinstance(content, str):
        yield from check_text(content, place, may_be_empty=message.get("role") == "system")
    elif isinstance(content, list):
        yield from check_parts(content, message.get("role"), place)
        for index, part in enumerate(content):
            for key in ("text", "refusal") if isinstance(part, dict) else ():
                if isinstance(text := part.get(key), str):
                    yield from check_text(text, (*place, index, key), may_be_empty=False)
    elif content is not None:
        yield ExampleIssue(
            FindingCode.WRONG_TYPE,
            place,
            f"the content must be a string or an array of parts, not {describe_type(content)}",
        )
    elif message.get("tool_calls") or message.get("refusal"):
        pass  # the assistant answers with a tool call or a refusal
    elif "content" in message:
        yield ExampleIssue(FindingCode.EMPTY_CONTENT, place, "the content is null")
    else:
        yield ExampleIssue(FindingCode.MISSING_KEY, key_path, '"content" is missing')


def check_text(text: str, key_path: KeyPath, *, may_be_empty: bool) -> Iterator[ExampleIssue]:
    """Yield an error for an empty text and for each special token. `style` warns of an empty system message."""
    if not text.strip() and not may_be_empty:
        yield ExampleIssue(FindingCode.EMPTY_CONTENT, key_path, "the text is empty")
    for token in sorted(set(OPENAI_SPECIAL_TOKENS.findall(text))):
        yield ExampleIssue(FindingCode.SPECIAL_TOKEN, key_path, f"the text contains {token}")


def is_valid_weight(value: object) -> bool:
    """Whether the weight is the integer 0 or 1; true and 1.0 are equal to them, but have another JSON type."""
    return type(value) is int and value in (0, 1)


def _check_name(message: dict[str, Any], key_path: KeyPath) -> Iterator[ExampleIssue]:
    name = message.get("name")
    if isinstance(name, str) and not _NAME.fullmatch(name):
        yield ExampleIssue(FindingCode.BAD_NAME, (*key_path, "name"), f"the name {name[:70]!r} is not valid")


def check_parts(parts: list[Any], role: object, key_path: KeyPath) -> Iterator[ExampleIssue]:
    """Yield every error of the parts, except in their texts."""
    if not parts:
        yield ExampleIssue(FindingCode.EMPTY_CONTENT, key_path, "the content has no parts")
    for index, part in enumerate(parts):
        place = (*key_path, index)
        if not isinstance(part, dict):
            yield ExampleIssue(FindingCode.WRONG_TYPE, place, f"a part must be an object, not {describe_type(part)}")
        else:
            yield from _check_part(part, role, place)


def _check_part(part: dict[str, Any], role: object, key_path: KeyPath) -> Iterator[ExampleIssue]:
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in PART_KEYS:
        yield ExampleIssue(
            FindingCode.WRONG_TYPE, key_path, f"the part's type is {str(kind)[:40]!r}", "Use text or image_url."
        )
        return
    yield from check_keys(part, PART_KEYS[kind], tuple(PART_KEYS[kind]), key_path)
    allowed = PART_TYPES_BY_ROLE.get(role, ("text",)) if isinstance(role, str) else tuple(PART_KEYS)
    if kind == "image_url" and kind not in allowed:
        yield ExampleIssue(FindingCode.BAD_IMAGE, key_path, f"a {role} message cannot contain an image")
    elif kind not in allowed:
        yield ExampleIssue(
            FindingCode.WRONG_TYPE, key_path, f"a {role} message cannot contain a part of type {kind!r}"
        )
    if kind == "image_url" and isinstance(image := part.get("image_url"), dict):
        yield from _check_image(image, (*key_path, "image_url"))


def _check_image(image: dict[str, Any], key_path: KeyPath) -> Iterator[ExampleIssue]:
    yield from check_keys(image, {"url": str, "detail": str}, ("url",), key_path)
    url, detail = image.get("url"), image.get("detail")
    if isinstance(url, str) and not _IMAGE_URL.fullmatch(url):
        yield ExampleIssue(
            FindingCode.BAD_IMAGE, (*key_path, "url"), f"the URL {url[:40]!r} is not a valid image URL"
        )
    if isinstance(detail, str) and detail not in IMAGE_DETAILS:
        yield ExampleIssue(
            FindingCode.BAD_IMAGE, (*key_path, "detail"), f"the detail is {detail[:40]!r}", "Use auto, low or high."
        )
