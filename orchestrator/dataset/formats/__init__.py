"""The chat formats. Each parser turns a JSON value into a chat in the providers' format, or returns None.

A format is recognised by the content of the value, never by the file's name. A parser reads no files and checks only
what it needs for the conversion. docs/reference/formats.md is generated from the declarations of the formats.
"""

from __future__ import annotations

from orchestrator.core.structs import replace
from orchestrator.dataset.formats.base import ChatFormat, ParsedChat
from orchestrator.dataset.formats.bedrock_vertex import BEDROCK, VERTEX
from orchestrator.dataset.formats.chat import CHAT, MESSAGES, REQUEST
from orchestrator.dataset.formats.feedback import FEEDBACK_KEYS, check_feedback
from orchestrator.dataset.formats.foreign import find_foreign_format, find_foreign_message_format
from orchestrator.dataset.formats.instruction import ALPACA, COMPLETION, DOLLY
from orchestrator.dataset.formats.preference import PREFERENCE
from orchestrator.dataset.formats.sharegpt import CONVERSATIONS, SHAREGPT

FORMATS: tuple[ChatFormat, ...] = (
    PREFERENCE,
    BEDROCK,
    CHAT,
    REQUEST,
    MESSAGES,
    CONVERSATIONS,
    SHAREGPT,
    ALPACA,
    COMPLETION,
    DOLLY,
    VERTEX,
)
"""In the order of precedence: a row with the keys of two formats is read in the first."""


def parse_chat(value: object) -> ParsedChat | None:
    """Parse a value in the first matching format, and report feedback in the value that forbids to train on it.

    Returns None if no format matches. The result of a foreign format has an empty body and one issue.
    """
    # Before the formats, because such a value has `messages` and would be read as a chat with many errors.
    if (chat := find_foreign_message_format(value)) is not None:
        return chat
    chat = next((chat for chat_format in FORMATS if (chat := chat_format.parse(value)) is not None), None)
    if chat is None:
        return find_foreign_format(value)
    if chat.format == PREFERENCE.name or not isinstance(value, dict):
        return chat  # in a pair, a score only tells which of the two answers is better
    if FEEDBACK_KEYS.isdisjoint(value):
        return chat
    return replace(chat, issues=(*chat.issues, *check_feedback(value)))
