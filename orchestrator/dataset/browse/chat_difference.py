"""The difference between two versions of a chat: unchanged messages are folded, changed words are marked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import groupby
from operator import attrgetter
from typing import Final

from orchestrator.core.text import format_count
from orchestrator.dataset.browse.chat_display import (
    DisplayMessage,
    MessageGroup,
    Span,
    build_message,
    build_part,
)
from orchestrator.dataset.browse.chat_view import ChatMessage, ChatPart, ChatView

# The comparison of words is quadratic; beyond this product the whole middle of a text counts as changed.
MAX_WORD_PAIRS: Final = 160_000
# Two different sentences share words such as "the"; below this ratio of equal words and spaces they are not one text.
MIN_SIMILARITY: Final = 0.5
_WORD: Final = re.compile(r"\w+|\s+|[^\w\s]")
_Pair = tuple[tuple[MessageGroup, ...], tuple[MessageGroup, ...]]


def build_changed_groups(old: ChatView, new: ChatView) -> _Pair:
    """Build the groups of both versions of a chat."""
    before: list[MessageGroup] = []
    after: list[MessageGroup] = []
    matcher = SequenceMatcher(None, old.messages, new.messages, autojunk=False)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        olds, news = old.messages[start:end], new.messages[new_start:new_end]
        if tag == "equal":
            is_last = end == len(old.messages)
            before += _fold(olds, is_last)
            after += _fold(news, is_last)
            continue
        pairs = _build_changed_messages(olds, news)
        for groups, messages in zip((before, after), pairs, strict=True):
            if messages:
                groups.append(MessageGroup(messages=messages))
    return tuple(before), tuple(after)


def mark_changed_words(old: str, new: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Mark the words that only the old text has (del) and that only the new one has (ins)."""
    olds, news = _WORD.findall(old), _WORD.findall(new)
    start = _count_common(olds, news)
    end = _count_common(olds[start:][::-1], news[start:][::-1])
    middle_old, middle_new = olds[start : len(olds) - end], news[start : len(news) - end]
    pairs = _compare_words(middle_old, middle_new)
    before = [Span("".join(olds[:start])), *pairs[0], Span("".join(olds[len(olds) - end :]))]
    after = [Span("".join(news[:start])), *pairs[1], Span("".join(news[len(news) - end :]))]
    return tuple(span for span in before if span.text), tuple(span for span in after if span.text)


def _compare_words(olds: list[str], news: list[str]) -> tuple[list[Span], list[Span]]:
    matcher = SequenceMatcher(None, olds, news, autojunk=False)
    if len(olds) * len(news) > MAX_WORD_PAIRS or matcher.ratio() < MIN_SIMILARITY:
        return [Span("".join(olds), "del")], [Span("".join(news), "ins")]
    before, after = [], []
    codes = matcher.get_opcodes()
    for number, (tag, start, end, new_start, new_end) in enumerate(codes):
        # A common space between changed words is marked with them: a row of single marked words is unreadable.
        is_gap = 0 < number < len(codes) - 1 and not "".join(olds[start:end]).strip()
        same = tag == "equal" and not is_gap
        before.append(Span("".join(olds[start:end]), "" if same else "del"))
        after.append(Span("".join(news[new_start:new_end]), "" if same else "ins"))
    return _join_spans(before), _join_spans(after)


def _join_spans(spans: list[Span]) -> list[Span]:
    return [Span("".join(span.text for span in group), mark) for mark, group in groupby(spans, attrgetter("mark"))]


def _count_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return how many words both sequences begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((number for number, (one, other) in pairs if one != other), min(len(first), len(second)))


def _fold(messages: Sequence[ChatMessage], is_last: bool) -> list[MessageGroup]:
    """Fold unchanged messages, but show the one before a change: an answer needs its question."""
    rows = tuple(map(build_message, messages))
    folded, shown = (rows, ()) if is_last else (rows[:-1], rows[-1:])
    groups = [MessageGroup(label=format_count(len(folded), "unchanged message"), messages=folded)] if folded else []
    return groups + ([MessageGroup(messages=shown)] if shown else [])


def _build_changed_messages(
    olds: Sequence[ChatMessage], news: Sequence[ChatMessage]
) -> tuple[tuple[DisplayMessage, ...], tuple[DisplayMessage, ...]]:
    """Pair the messages in their order if their numbers are equal; else all of them are removed or added."""
    if len(olds) != len(news):
        return tuple(_mark_all(each, "del") for each in olds), tuple(_mark_all(each, "ins") for each in news)
    pairs = [_build_changed_pair(old, new) for old, new in zip(olds, news, strict=True)]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def _build_changed_pair(old: ChatMessage, new: ChatMessage) -> tuple[DisplayMessage, DisplayMessage]:
    if old.role != new.role or [part.kind for part in old.parts] != [part.kind for part in new.parts]:
        return _mark_all(old, "del"), _mark_all(new, "ins")
    marked = [mark_changed_words(one.text, other.text) for one, other in zip(old.parts, new.parts, strict=True)]
    return (
        _build_marked_message(old, [pair[0] for pair in marked]),
        _build_marked_message(new, [pair[1] for pair in marked]),
    )


def _mark_all(message: ChatMessage, mark: str) -> DisplayMessage:
    return _build_marked_message(message, [_mark_part(part, mark) for part in message.parts])


def _mark_part(part: ChatPart, mark: str) -> tuple[Span, ...]:
    return (Span(part.text, mark),) if part.text else ()


def _build_marked_message(message: ChatMessage, spans: Sequence[Sequence[Span]]) -> DisplayMessage:
    parts = tuple(build_part(part, marked) for part, marked in zip(message.parts, spans, strict=True))
    return DisplayMessage(message=message, parts=parts)
