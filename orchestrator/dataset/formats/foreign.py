"""Formats of other programs that are recognised but not supported: one finding names the format and the solution.

They have branches, attachments or settings that a parser would have to drop, or they are for another kind of
training. Without this, each of their messages would be an error of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from orchestrator.core.structs import Struct
from orchestrator.dataset.example import ExampleIssue
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.formats.base import ParsedChat

Row = dict[str, Any]

CONVERT_HINT: Final = (
    'Convert it to one line per chat: {"messages": [{"role": "user", "content": …}, '
    '{"role": "assistant", "content": …}]}.'
)
_REINFORCEMENT_HINT: Final = (
    "Reinforcement fine-tuning is not supported. For supervised training, add the expected answer at the end of "
    "`messages`, as an assistant message."
)
_GRADER_KEYS: Final = (
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


class ForeignFormat(Struct, frozen=True):
    """A format that is recognised but not supported."""

    name: str  # completes "this is …"
    matches: Callable[[Row], bool]
    hint: str
    example: str  # a JSON text that `matches` recognises


def find_foreign_message_format(value: object) -> ParsedChat | None:
    """Find the foreign format of a value with `messages` that would be read as a chat with many errors."""
    if not isinstance(value, dict) or _is_ordinary_chat(value):
        return None
    return _find_first_match(value, FOREIGN_MESSAGE_FORMATS)


def find_foreign_format(value: object) -> ParsedChat | None:
    """Find the foreign format of a value that no supported format matches."""
    return _find_first_match(value, FOREIGN_FORMATS) if isinstance(value, dict) else None


def _find_first_match(value: Row, known: tuple[ForeignFormat, ...]) -> ParsedChat | None:
    """Return a parsed chat without a body, whose only issue names the format."""
    for foreign in known:
        if foreign.matches(value):
            issue = ExampleIssue(FindingCode.FOREIGN_FORMAT, (), f"this is {foreign.name}", foreign.hint)
            return ParsedChat("foreign", {}, issues=(issue,))
    return None


def _is_ordinary_chat(value: Row) -> bool:
    """Whether the first message has a role and the last is an answer, as in most rows. Fast path for them."""
    messages = value.get("messages")
    if type(messages) is not list or not messages:
        return True
    first, last = messages[0], messages[-1]
    return type(first) is dict and "role" in first and type(last) is dict and last.get("role") == "assistant"


def _list_messages(value: Row) -> list[Row]:
    messages = value.get("messages")
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def _messages_have(value: Row, key: str) -> bool:
    return _has_no_roles(value) and all(key in message for message in _list_messages(value))


def _is_open_webui(value: Row) -> bool:
    chat = value.get("chat")
    return isinstance(chat, dict) and ("history" in chat or "messages" in chat)


def _is_for_reinforcement(value: Row) -> bool:
    if not any(key in value for key in _GRADER_KEYS):
        return False
    messages = value.get("messages") or value.get("prompt") or value.get("input")
    if not isinstance(messages, list):
        return False
    return not any(isinstance(last, dict) and last.get("role") == "assistant" for last in messages[-1:])


def _has_no_roles(value: Row) -> bool:
    messages = _list_messages(value)
    return (
        bool(messages)
        and not any("role" in message for message in messages)
        and len(messages) == len(value["messages"])
    )


FOREIGN_MESSAGE_FORMATS: Final = (
    ForeignFormat(
        "LibreChat's export",
        lambda value: "conversationId" in value and _has_no_roles(value),
        f"It contains every branch of the chat. {CONVERT_HINT}",
        '{"conversationId": "1", "messages": [{"sender": "User", "text": "Hi", "isCreatedByUser": true}]}',
    ),
    ForeignFormat(
        "LM Studio's conversation",
        lambda value: _messages_have(value, "versions"),
        f"It contains every version of each message. {CONVERT_HINT}",
        '{"name": "Hours", "messages": [{"versions": [{"role": "user", "content": []}], "currentlySelected": 0}]}',
    ),
    ForeignFormat(
        "Agnai's export",
        lambda value: _messages_have(value, "msg"),
        CONVERT_HINT,
        '{"name": "Exported", "greeting": "Hi", "messages": [{"handle": "Robin", "msg": "Hello"}]}',
    ),
    ForeignFormat(
        "a row for reinforcement fine-tuning",
        _is_for_reinforcement,
        _REINFORCEMENT_HINT,
        '{"messages": [{"role": "user", "content": "2 + 2?"}], "reference_answer": "4"}',
    ),
    ForeignFormat(
        "another program's chat: its messages have no role",
        _has_no_roles,
        CONVERT_HINT,
        '{"name": "Channel", "messages": [{"from": "Robin", "text": "Hi"}, {"author": "Kim", "content": "Hello"}]}',
    ),
)
FOREIGN_FORMATS: Final = (
    ForeignFormat(
        "ChatGPT's export (conversations.json)",
        lambda value: isinstance(value.get("mapping"), dict),
        f"It contains every branch of each chat. {CONVERT_HINT}",
        '{"title": "Hours", "mapping": {"a": {"message": null, "children": []}}, "current_node": "a"}',
    ),
    ForeignFormat(
        "Claude's export (conversations.json)",
        lambda value: isinstance(value.get("chat_messages"), list),
        f"It contains attachments and branches. {CONVERT_HINT}",
        '{"uuid": "1", "name": "Hours", "chat_messages": [{"sender": "human", "text": "When do you open?"}]}',
    ),
    ForeignFormat(
        "Open WebUI's export",
        _is_open_webui,
        f"It contains every branch of each chat. {CONVERT_HINT}",
        '{"id": "1", "chat": {"messages": [{"role": "user", "content": "Hi"}], "history": {"currentId": "1"}}}',
    ),
    ForeignFormat(
        "text-generation-webui's history",
        lambda value: isinstance(value.get("internal"), list) and isinstance(value.get("visible"), list),
        CONVERT_HINT,
        '{"internal": [["Hi", "Hello"]], "visible": [["Hi", "Hello"]]}',
    ),
    ForeignFormat(
        "a character card, not a chat",
        lambda value: str(value.get("spec", "")).startswith("chara_card"),
        "Remove it from the folder, and add the chats with the character instead.",
        '{"spec": "chara_card_v2", "spec_version": "2.0", "data": {"name": "Desk"}}',
    ),
    ForeignFormat(
        "a request of OpenAI's Batch API",
        lambda value: "custom_id" in value and ("body" in value or "response" in value),
        f"It contains the question or the answer, not both. {CONVERT_HINT}",
        '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}}',
    ),
    ForeignFormat(
        "an answer of a chat API, without its question",
        lambda value: isinstance(value.get("choices"), list),
        CONVERT_HINT,
        '{"object": "chat.completion", "choices": [{"message": {"role": "assistant", "content": "Hi"}}]}',
    ),
    ForeignFormat(
        "plain text for continued pre-training, not a chat",
        lambda value: isinstance(value.get("text"), str) and set(value) <= {"text", "meta", "id", "source", "url"},
        f"Only chats are supported. {CONVERT_HINT}",
        '{"text": "We open at ten and close at four."}',
    ),
    *FOREIGN_MESSAGE_FORMATS,
)
