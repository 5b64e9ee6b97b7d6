"""Formats of other programs that are recognised but not read: one finding says what they are and what to do.

They have branches, attachments or settings that a reader would have to drop, or they are for another kind of
training. Without this each of their messages would be an error of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Fault
from orchestrator.dataset.formats.shape import Shape

Row = dict[str, Any]

CONVERT: Final = (
    'Convert it to one line per chat: {"messages": [{"role": "user", "content": …}, '
    '{"role": "assistant", "content": …}]}.'
)
_REINFORCEMENT: Final = (
    "Reinforcement fine-tuning is not done here. For supervised training put the answer that is to be learned at the "
    "end of `messages`, as the assistant's."
)
_ANSWER_FOR_GRADER: Final = (
    "reference_answer",
    "ground_truth",
    "expected_answer",
    "expected_output",
    "solution",
    "grader",
    "rubric",
    "reward_model",
    "ideal",
)


@dataclass(frozen=True, slots=True)
class Foreign:
    """`name` completes "this is …". `example` is a JSON text that `matches` recognises."""

    name: str
    matches: Callable[[Row], bool]
    hint: str
    example: str


def foreign_messages(value: object) -> Shape | None:
    """Recognise what has `messages` like a chat, but not a chat's: it would be read as one with many errors."""
    if not isinstance(value, dict) or _is_common(value):
        return None
    return _first(value, FOREIGN_MESSAGES)


def foreign(value: object) -> Shape | None:
    """Recognise what no format reads."""
    return _first(value, FOREIGN) if isinstance(value, dict) else None


def _first(value: Row, known: tuple[Foreign, ...]) -> Shape | None:
    """The shape of a foreign value has no body, only the finding."""
    for one in known:
        if one.matches(value):
            fault = Fault(Code.FOREIGN_FORMAT, (), f"this is {one.name}", one.hint)
            return Shape("foreign", {}, faults=(fault,))
    return None


def _is_common(value: Row) -> bool:
    """Quickly: a chat whose first message has a role and whose last is an answer. Most rows of the world are so."""
    messages = value.get("messages")
    if type(messages) is not list or not messages:
        return True
    first, last = messages[0], messages[-1]
    return type(first) is dict and "role" in first and type(last) is dict and last.get("role") == "assistant"


def _messages(value: Row) -> list[Row]:
    messages = value.get("messages")
    return [one for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []


def _messages_have(value: Row, key: str) -> bool:
    return _has_no_roles(value) and all(key in one for one in _messages(value))


def _is_open_webui(value: Row) -> bool:
    chat = value.get("chat")
    return isinstance(chat, dict) and ("history" in chat or "messages" in chat)


def _is_for_reinforcement(value: Row) -> bool:
    if not any(key in value for key in _ANSWER_FOR_GRADER):
        return False
    messages = value.get("messages") or value.get("prompt") or value.get("input")
    if not isinstance(messages, list):
        return False
    return not any(isinstance(one, dict) and one.get("role") == "assistant" for one in messages[-1:])


def _has_no_roles(value: Row) -> bool:
    messages = _messages(value)
    return bool(messages) and not any("role" in one for one in messages) and len(messages) == len(value["messages"])


FOREIGN_MESSAGES: Final = (
    Foreign(
        "LibreChat's export",
        lambda value: "conversationId" in value and _has_no_roles(value),
        f"It holds every branch of the chat. {CONVERT}",
        '{"conversationId": "1", "messages": [{"sender": "User", "text": "Hi", "isCreatedByUser": true}]}',
    ),
    Foreign(
        "LM Studio's conversation",
        lambda value: _messages_have(value, "versions"),
        f"It holds every version of each message. {CONVERT}",
        '{"name": "Hours", "messages": [{"versions": [{"role": "user", "content": []}], "currentlySelected": 0}]}',
    ),
    Foreign(
        "Agnai's export",
        lambda value: _messages_have(value, "msg"),
        CONVERT,
        '{"name": "Exported", "greeting": "Hi", "messages": [{"handle": "Robin", "msg": "Hello"}]}',
    ),
    Foreign(
        "a row for reinforcement fine-tuning",
        _is_for_reinforcement,
        _REINFORCEMENT,
        '{"messages": [{"role": "user", "content": "2 + 2?"}], "reference_answer": "4"}',
    ),
    Foreign(
        "another program's chat: its messages have no role",
        _has_no_roles,
        CONVERT,
        '{"name": "Channel", "messages": [{"from": "Robin", "text": "Hi"}, {"author": "Kim", "content": "Hello"}]}',
    ),
)
FOREIGN: Final = (
    Foreign(
        "ChatGPT's export (conversations.json)",
        lambda value: isinstance(value.get("mapping"), dict),
        f"It holds every branch of each chat. {CONVERT}",
        '{"title": "Hours", "mapping": {"a": {"message": null, "children": []}}, "current_node": "a"}',
    ),
    Foreign(
        "Claude's export (conversations.json)",
        lambda value: isinstance(value.get("chat_messages"), list),
        f"It holds attachments and branches. {CONVERT}",
        '{"uuid": "1", "name": "Hours", "chat_messages": [{"sender": "human", "text": "When do you open?"}]}',
    ),
    Foreign(
        "Open WebUI's export",
        _is_open_webui,
        f"It holds every branch of each chat. {CONVERT}",
        '{"id": "1", "chat": {"messages": [{"role": "user", "content": "Hi"}], "history": {"currentId": "1"}}}',
    ),
    Foreign(
        "text-generation-webui's history",
        lambda value: isinstance(value.get("internal"), list) and isinstance(value.get("visible"), list),
        CONVERT,
        '{"internal": [["Hi", "Hello"]], "visible": [["Hi", "Hello"]]}',
    ),
    Foreign(
        "a character card, not a chat",
        lambda value: str(value.get("spec", "")).startswith("chara_card"),
        "Remove it from the folder; put the chats with the character there.",
        '{"spec": "chara_card_v2", "spec_version": "2.0", "data": {"name": "Desk"}}',
    ),
    Foreign(
        "a request of OpenAI's Batch API",
        lambda value: "custom_id" in value and ("body" in value or "response" in value),
        f"It holds the question or the answer, not both. {CONVERT}",
        '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}}',
    ),
    Foreign(
        "an answer of a chat API, without its question",
        lambda value: isinstance(value.get("choices"), list),
        CONVERT,
        '{"object": "chat.completion", "choices": [{"message": {"role": "assistant", "content": "Hi"}}]}',
    ),
    Foreign(
        "plain text for continued pre-training, not a chat",
        lambda value: isinstance(value.get("text"), str) and set(value) <= {"text", "meta", "id", "source", "url"},
        f"Only chats are trained here. {CONVERT}",
        '{"text": "We open at ten and close at four."}',
    ),
    *FOREIGN_MESSAGES,
)
