"""Structure: the errors of one example. What a provider would refuse is refused here, with its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Body, Fault, Steps

ROLES = ("system", "user", "assistant", "tool")
EXAMPLE_KEYS = ("messages",)
MESSAGE_KEYS = ("role", "content", "name", "weight")


def faults(body: Body) -> Iterator[Fault]:
    """Every error of an example in the chat shape."""
    yield from _unknown_keys(body, EXAMPLE_KEYS, ())
    messages = body["messages"]
    if not isinstance(messages, list):
        yield Fault(Code.WRONG_TYPE, ("messages",), "messages must be an array")
    elif not messages:
        yield Fault(Code.NO_MESSAGES, ("messages",), "there are no messages")
    else:
        yield from _messages(messages)


def _messages(messages: list[Any]) -> Iterator[Fault]:
    for index, message in enumerate(messages):
        steps: Steps = ("messages", index)
        if isinstance(message, dict):
            yield from _message(message, steps)
        else:
            yield Fault(Code.WRONG_TYPE, steps, "a message must be an object with role and content")
    roles = [message.get("role") for message in messages if isinstance(message, dict)]
    if "assistant" not in roles:
        yield Fault(Code.NO_ASSISTANT, ("messages",), "the assistant says nothing in this chat")
    elif roles[-1] != "assistant":
        last = ("messages", len(messages) - 1, "role")
        yield Fault(Code.LAST_NOT_ASSISTANT, last, f"the last message is from {roles[-1]!r}, not from the assistant")


def _message(message: dict[str, Any], steps: Steps) -> Iterator[Fault]:
    yield from _unknown_keys(message, MESSAGE_KEYS, steps)
    if "role" not in message:
        yield Fault(Code.MISSING_KEY, steps, 'the message has no "role"')
    elif message["role"] not in ROLES:
        yield Fault(Code.UNKNOWN_ROLE, (*steps, "role"), f"the role is {message['role']!r}")
    if "content" not in message:
        yield Fault(Code.MISSING_KEY, steps, 'the message has no "content"')
    elif not isinstance(message["content"], str):
        yield Fault(Code.WRONG_TYPE, (*steps, "content"), "the content must be text")
    elif not message["content"].strip():
        yield Fault(Code.EMPTY_CONTENT, (*steps, "content"), "the content is empty")


def _unknown_keys(value: dict[str, Any], known: tuple[str, ...], steps: Steps) -> Iterator[Fault]:
    for key in value:
        if key not in known:
            yield Fault(Code.UNKNOWN_KEY, (*steps, key), f'the key "{key}" is not known here')
