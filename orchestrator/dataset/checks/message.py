"""One message: its keys, role, content, name and weight."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.checks.keys import typed, wrong_keys
from orchestrator.dataset.checks.parts import part_errors
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Fault, Steps
from orchestrator.dataset.special_tokens import ALWAYS

ROLES = ("system", "user", "assistant", "tool")
KEYS: dict[str, dict[str, type]] = {
    "system": {"name": str},
    "user": {"name": str},
    "assistant": {"name": str, "weight": object, "tool_calls": list, "refusal": object},
    "tool": {"tool_call_id": str},
}
ANY_ROLE: dict[str, type] = {key: kind for keys in KEYS.values() for key, kind in keys.items()}
BASE: dict[str, type] = {"role": object, "content": object}
_NAME = re.compile(r"[^\s<|\\/>]{1,64}")
_OTHER_ROLES = {"developer": "Write system: training files do not know developer.", "function": "Write tool."}
_SPEAKERS = {"human": "user", "customer": "user", "client": "user", "question": "user"} | dict.fromkeys(
    ("model", "bot", "gpt", "ai", "chatbot", "chatgpt", "char", "agent", "answer"), "assistant"
)
_PLAIN = frozenset(("system", "user", "assistant"))


def is_plain(message: object) -> bool:
    """Quickly: nothing but a role and a text, and nothing wrong with them. Most messages of the world are so."""
    if type(message) is not dict or len(message) != 2:
        return False
    role, content = message.get("role"), message.get("content")
    if type(role) is not str or role not in _PLAIN:
        return False
    return type(content) is str and "<|" not in content and bool(content) and not content.isspace()


def message_errors(message: object, steps: Steps) -> Iterator[Fault]:
    """Every error of the message."""
    if not isinstance(message, dict):
        hint = 'Write {"role": …, "content": …}.'
        yield Fault(Code.WRONG_TYPE, steps, f"a message must be an object, not {typed(message)}", hint)
        return
    role = message.get("role")
    yield from _role_errors(message, steps)
    known = KEYS.get(role, ANY_ROLE) if isinstance(role, str) else ANY_ROLE
    yield from wrong_keys(message, BASE | known, ("role",), steps)
    yield from _content_errors(message, steps)
    yield from _name_errors(message, steps)
    if "weight" in message and not is_weight(message["weight"]):
        yield Fault(Code.BAD_WEIGHT, (*steps, "weight"), f"the weight is {str(message['weight'])[:40]}")
    if role == "tool" and "tool_call_id" not in message:
        yield Fault(Code.MISSING_KEY, steps, '"tool_call_id" is missing')


def _role_errors(message: dict[str, Any], steps: Steps) -> Iterator[Fault]:
    role = message.get("role")
    if "role" in message and (not isinstance(role, str) or role not in ROLES):
        hint = _role_hint(role) if isinstance(role, str) else ""
        yield Fault(Code.UNKNOWN_ROLE, (*steps, "role"), f"the role is {str(role)[:40]!r}", hint)


def is_unknown_role(role: str) -> bool:
    """Whether nobody can tell who speaks. `developer` and `function` are wrong, but they are not the assistant."""
    return role not in ROLES and role not in _OTHER_ROLES


def _role_hint(role: str) -> str:
    if role in _OTHER_ROLES:
        return _OTHER_ROLES[role]
    plain = role.strip().lower()
    meant = plain if plain in ROLES else _SPEAKERS.get(plain)
    return f'Write "{meant}".' if meant else ""


def _content_errors(message: dict[str, Any], steps: Steps) -> Iterator[Fault]:
    content, place = message.get("content"), (*steps, "content")
    if isinstance(content, str):
        yield from text_errors(content, place, may_be_empty=message.get("role") == "system")
    elif isinstance(content, list):
        yield from part_errors(content, message.get("role"), place)
        for index, part in enumerate(content):
            for key in ("text", "refusal") if isinstance(part, dict) else ():
                if isinstance(text := part.get(key), str):
                    yield from text_errors(text, (*place, index, key), may_be_empty=False)
    elif content is not None:
        yield Fault(Code.WRONG_TYPE, place, f"the content must be text or an array of parts, not {typed(content)}")
    elif message.get("tool_calls") or message.get("refusal"):
        pass  # the assistant says something in another way
    elif "content" in message:
        yield Fault(Code.EMPTY_CONTENT, place, "the content is null")
    else:
        yield Fault(Code.MISSING_KEY, steps, '"content" is missing')


def text_errors(text: str, steps: Steps, *, may_be_empty: bool) -> Iterator[Fault]:
    """Empty text, and special tokens in it. An empty system message is advice's business."""
    if not text.strip() and not may_be_empty:
        yield Fault(Code.EMPTY_CONTENT, steps, "the text is empty")
    for token in sorted(set(ALWAYS.findall(text))):
        yield Fault(Code.SPECIAL_TOKEN, steps, f"the text holds {token}")


def is_weight(value: object) -> bool:
    """0 or 1 and nothing that only equals them, such as true or 1.0."""
    return type(value) is int and value in (0, 1)


def _name_errors(message: dict[str, Any], steps: Steps) -> Iterator[Fault]:
    name = message.get("name")
    if isinstance(name, str) and not _NAME.fullmatch(name):
        yield Fault(Code.BAD_NAME, (*steps, "name"), f"the name {name[:70]!r} is not accepted")
