"""What of a chat is shown at first, what is marked, and what differs between two versions."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.dataset.browse.chat_difference import build_changed_groups, mark_changed_words
from orchestrator.dataset.browse.chat_display import MessageGroup, Span, build_groups
from orchestrator.dataset.browse.chat_view import ChatView, build_chat_view


def chat(*texts: str) -> ChatView:
    roles = ("user", "assistant")
    messages: list[dict[str, Any]] = [
        {"role": roles[number % 2], "content": text} for number, text in enumerate(texts)
    ]
    return build_chat_view({"messages": messages})


def join(spans: tuple[Span, ...], mark: str | None = None) -> str:
    return "".join(span.text for span in spans if mark is None or span.mark == mark)


def list_texts(groups: tuple[MessageGroup, ...]) -> list[tuple[str, list[str]]]:
    return [(group.label, [join(each.parts[0].head) for each in group.messages]) for group in groups]


def test_short_chat_is_shown_whole() -> None:
    groups = build_groups(chat("Who?", "Me."))
    assert list_texts(groups) == [("", ["Who?", "Me."])]
    assert groups[0].messages[0].parts[0].rest == ()


@pytest.mark.parametrize("text", ["word " * 1000, "x" * 5000, "line\n" * 100])
def test_long_text_is_folded_without_a_loss(text: str) -> None:
    part = build_groups(chat(text))[0].messages[0].parts[0]
    assert 0 < len(join(part.head)) <= 900
    assert join(part.head) + join(part.rest) == text
    assert not part.is_open


def test_fold_with_a_match_of_the_search_is_open() -> None:
    part = build_groups(chat("word " * 1000 + "Needle"), "NEEDLE")[0].messages[0].parts[0]
    assert part.is_open
    assert join(part.rest, "mark") == "Needle"
    texts = [f"text {number}" for number in range(30)]
    assert [(group.label, group.is_open) for group in build_groups(chat(*texts), "text 29")] == [
        ("", False),
        ("22 more messages", True),
    ]
    assert not build_groups(chat(*texts), "text 3")[1].is_open


def test_search_text_is_no_pattern() -> None:
    part = build_groups(chat("a.c abc"), "a.c")[0].messages[0].parts[0]
    assert part.head == (Span("a.c", "mark"), Span(" abc"))


def test_changed_words_are_marked_and_nothing_is_lost() -> None:
    old, new = "The parcel arrives on Monday at noon.", "The parcel arrived on Friday at noon."
    before, after = mark_changed_words(old, new)
    assert (join(before), join(after)) == (old, new)
    assert [span.text for span in before if span.mark == "del"] == ["arrives", "Monday"]
    assert [span.text for span in after if span.mark == "ins"] == ["arrived", "Friday"]


def test_huge_texts_are_compared_in_time_and_without_a_loss() -> None:
    old, new = "a b " * 20_000, "c d " * 20_000
    before, after = mark_changed_words(f"same {old}same", f"same {new}same")
    assert (join(before), join(after)) == (f"same {old}same", f"same {new}same")
    assert [span.mark for span in before] == ["", "del", ""]


def test_unchanged_messages_are_folded_up_to_the_one_before_a_change() -> None:
    before, after = build_changed_groups(chat("1", "2", "3", "old", "5"), chat("1", "2", "3", "new", "5"))
    assert list_texts(before) == [
        ("2 unchanged messages", ["1", "2"]),
        ("", ["3"]),
        ("", ["old"]),
        ("1 unchanged message", ["5"]),
    ]
    assert join(after[2].messages[0].parts[0].head, "ins") == "new"


def test_removed_messages_are_marked_whole() -> None:
    before, after = build_changed_groups(chat("1", "2", "3"), chat("1"))
    assert [join(each.parts[0].head, "del") for each in before[-1].messages] == ["2", "3"]
    assert list_texts(after) == [("", ["1"])]
