"""How much of a chat is shown at first, and which of its characters are marked. All texts stay plain text.

Long texts and long chats are folded: a page has ten examples, and one of 100 messages must not bury the others. A
fold with a match of the search is open.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from orchestrator.core.structs import Struct, replace
from orchestrator.dataset.browse.chat_view import ChatMessage, ChatPart, ChatView

SHOWN_CHARACTERS: Final = 900
SHOWN_LINES: Final = 14
SHOWN_MESSAGES: Final = 8
# A fold that hides less than this is longer than what it hides.
_MIN_FOLDED_CHARACTERS: Final = 250
_MIN_FOLDED_LINES: Final = 3
_MIN_FOLDED_MESSAGES: Final = 2


class Span(Struct, frozen=True):
    """A piece of a text. `mark` is empty, or the name of an HTML element: mark, ins or del."""

    text: str
    mark: str = ""


class DisplayPart(Struct, frozen=True, kw_only=True):
    """A part of a message: the text that is shown at first, and the folded rest."""

    part: ChatPart
    head: tuple[Span, ...]
    rest: tuple[Span, ...] = ()
    is_open: bool = False


class DisplayMessage(Struct, frozen=True, kw_only=True):
    """A message of a chat."""

    message: ChatMessage
    parts: tuple[DisplayPart, ...]


class MessageGroup(Struct, frozen=True, kw_only=True):
    """Messages one after the other: shown if the label is empty, else folded below it."""

    label: str = ""
    is_open: bool = False
    messages: tuple[DisplayMessage, ...]


def build_groups(chat: ChatView, search: str = "") -> tuple[MessageGroup, ...]:
    """Build the shown messages of a chat and, if it is long, the folded ones. The text of the search is marked."""
    pattern = re.compile(re.escape(search), re.IGNORECASE) if search else None
    messages = [build_message(message, pattern) for message in chat.messages]
    if len(messages) < SHOWN_MESSAGES + _MIN_FOLDED_MESSAGES:
        return (MessageGroup(messages=tuple(messages)),)
    rest = tuple(messages[SHOWN_MESSAGES:])
    return (
        MessageGroup(messages=tuple(messages[:SHOWN_MESSAGES])),
        MessageGroup(label=f"{len(rest)} more messages", is_open=any(map(has_mark, rest)), messages=rest),
    )


def build_message(message: ChatMessage, pattern: re.Pattern[str] | None = None) -> DisplayMessage:
    """Build a message, with the matches of the pattern marked."""
    parts = tuple(build_part(part, mark_matches(part.text, pattern)) for part in message.parts)
    return DisplayMessage(message=message, parts=parts)


def build_part(part: ChatPart, spans: Sequence[Span]) -> DisplayPart:
    """Fold the spans of a part after its first lines."""
    head, rest = fold_spans(part.text, spans)
    return DisplayPart(part=part, head=head, rest=rest, is_open=any(span.mark for span in rest))


def fold_spans(text: str, spans: Sequence[Span]) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Split the spans of a text after its first lines: what is shown at first, and the folded rest."""
    return _split_spans(spans, _find_fold(text))


def mark_matches(text: str, pattern: re.Pattern[str] | None) -> tuple[Span, ...]:
    """Mark the matches in a text."""
    if pattern is None:
        return (Span(text),)
    spans, done = [], 0
    for match in pattern.finditer(text):
        spans += [Span(text[done : match.start()]), Span(match[0], "mark")]
        done = match.end()
    return tuple(span for span in (*spans, Span(text[done:])) if span.text)


def has_mark(message: DisplayMessage) -> bool:
    """Return whether anything of a message is marked."""
    return any(span.mark for part in message.parts for span in (*part.head, *part.rest))


def _find_fold(text: str) -> int:
    """Return the length of the text that is shown at first."""
    lines = text.splitlines(keepends=True)
    size = len(text)
    if len(lines) >= SHOWN_LINES + _MIN_FOLDED_LINES:
        size = sum(map(len, lines[:SHOWN_LINES]))
    if size >= SHOWN_CHARACTERS + _MIN_FOLDED_CHARACTERS:
        space = text.rfind(" ", SHOWN_CHARACTERS - 100, SHOWN_CHARACTERS)
        size = space + 1 if space >= 0 else SHOWN_CHARACTERS
    return size


def _split_spans(spans: Sequence[Span], size: int) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    head: list[Span] = []
    rest: list[Span] = []
    for span in spans:
        inside, outside = span.text[:size], span.text[size:]
        size -= len(inside)
        head += [replace(span, text=inside)] if inside else []
        rest += [replace(span, text=outside)] if outside else []
    return tuple(head), tuple(rest)
