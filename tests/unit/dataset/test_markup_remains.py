"""Warnings about artifacts in texts: reasoning blocks, images, a broken encoding; and about pairs and images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import CheckResult

USER = {"role": "user", "content": "Do you fix tyres?"}
ANSWER = {"role": "assistant", "content": "Yes."}


def checked(tmp_path: Path, *bodies: Any, rules: DatasetRules | None = None) -> CheckResult:
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies), encoding="utf-8")
    return check_dataset(path, rules or DatasetRules(minimum_examples=0))


def warnings(tmp_path: Path, *bodies: Any, rules: DatasetRules | None = None) -> list[tuple[str, str | None]]:
    outcome = checked(tmp_path, *bodies, rules=rules)
    assert outcome.errors == ()
    return [(one.code, one.path) for one in outcome.warnings]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<think>\nlet me see\n</think>\nYes.", "reasoning-block"),
        ("let me see</think>Yes.", "reasoning-block"),
        ("<THINKING>so</THINKING> Yes.", "reasoning-block"),
        ("[THINK]so[/THINK] Yes.", "reasoning-block"),
        ('Nice! <img src="user/images/desk.png"> A red one.', "picture-in-text"),
        ("Look: ![a bike](https://a.example/bike.png)", "picture-in-text"),
        ("A caf\ufffd.", "broken-encoding"),
        ("Ein Rad f\u00c3\u00bcr M\u00c3\u00a4dchen", "broken-encoding"),
        ("It\u00e2\u20ac\u2122s fine", "broken-encoding"),
        ("a dash \u00e2\u20ac\u201c here", "broken-encoding"),
        ("9 \u00e2\u201a\u00ac", "broken-encoding"),
        ("20 \u00c2\u00b0C", "broken-encoding"),
        ("Great \u00f0\u0178\u02dc\u20ac", "broken-encoding"),
        ("It&amp;#39;s fine", "escaped-html"),
        ("wheels &amp; tyres", "escaped-html"),
        ("&lt;b&gt;", "escaped-html"),
    ],
)
def test_answer_with_markup_remains_is_a_warning(tmp_path: Path, text: str, code: str) -> None:
    answer = {"role": "assistant", "content": text}
    assert warnings(tmp_path, {"messages": [USER, answer]}) == [(code, "$.messages[1].content")]


@pytest.mark.parametrize(
    "text",
    [
        "I think so. [think] it over.",
        "An image: img src, and [a link](https://a.example/bike.png).",
        "\u201cCAF\u00c9\u201d, \u201cMA\u00c7\u00c3\u201d, \u00c2GE, S\u00c3O PAULO, \u00e2ge, p\u00e2t\u00e9",
        "pre\u00e7o: 9 \u20ac \u2013 \u201eheute\u201c \U0001f600",
        "Use `&amp;` for an ampersand:\n```html\n<p>&lt;b&gt;</p>\n```",
        "R&D; Tom & Jerry; AT&T;",
    ],
)
def test_text_that_resembles_markup_is_not_reported(tmp_path: Path, text: str) -> None:
    assert warnings(tmp_path, {"messages": [USER, {"role": "assistant", "content": text}]}) == []


def test_reasoning_blocks_are_reported_in_answers_only(tmp_path: Path) -> None:
    asked = {"role": "user", "content": "What does <think> mean?"}
    assert warnings(tmp_path, {"messages": [asked, ANSWER]}) == []


def test_equal_answers_of_a_pair_are_reported(tmp_path: Path) -> None:
    dpo = DatasetRules(minimum_examples=0, method="dpo")
    pair = {"input": {"messages": [USER]}, "preferred_output": [ANSWER], "non_preferred_output": [ANSWER]}
    assert warnings(tmp_path, pair, rules=dpo) == [("equal-answers", "$.non_preferred_output")]
    other = pair | {"non_preferred_output": [ANSWER | {"content": "No."}]}
    assert warnings(tmp_path, other, rules=dpo) == []


def question_about(*images: str) -> Any:
    text = {"type": "text", "text": "What is in the picture, and what colour does it have?"}
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return {"messages": [{"role": "user", "content": [text, *parts]}, ANSWER]}


def test_question_about_other_images_is_no_near_duplicate(tmp_path: Path) -> None:
    bodies = [question_about(f"https://example.com/{number}.png") for number in range(12)]
    assert warnings(tmp_path, *bodies) == []


def test_question_about_the_same_image_is_a_near_duplicate(tmp_path: Path) -> None:
    one = question_about("https://example.com/1.png")
    other = question_about("https://example.com/1.png")
    other["messages"][1] = {"role": "assistant", "content": "Yes!"}
    assert warnings(tmp_path, one, other) == [("near-duplicate", "$")]


def test_sillytavern_attachments_are_counted_as_left_out(tmp_path: Path) -> None:
    extras: list[Any] = [
        {"image": "/user/images/bike.png", "inline_image": True, "title": "my bike"},
        {"media": [{"url": "/b.png", "type": "image"}, {"url": "/b.mp4", "type": "video"}, 7], "image": "/b.png"},
        {"image": "/1.png", "image_swipes": ["/1.png", "/2.png"], "file": {"name": "a.txt", "text": "x"}},
        {"reasoning": "He asks about tyres.", "reasoning_duration": 1200, "video": "/c.mp4"},
        {"files": [{"name": "a"}, {"name": "b"}], "reasoning": ""},
        [],
        None,
    ]
    rows: list[Any] = [{"user_name": "Robin", "character_name": "Desk", "chat_metadata": {}}]
    rows += [{"name": "x", "is_user": not n % 2, "mes": f"Text {n}", "extra": e} for n, e in enumerate(extras)]
    rows.append({"name": "Desk", "is_user": False, "mes": "The end"})
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    left = check_dataset(path, DatasetRules(minimum_examples=0)).summary.left_out
    assert left == {"picture": 4, "video": 2, "attachment": 1, "file": 3, "reasoning": 1}
