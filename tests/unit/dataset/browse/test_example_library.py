"""Search over the examples of a dataset, and the difference between two datasets."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestrator.dataset.browse.example_index import find_index
from orchestrator.dataset.browse.example_library import OpenDataset, find_difference
from orchestrator.dataset.browse.index_builder import build_index

MODEL = "sandbox-small"
CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Zürich \\"old\\""}'}}


def chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def tool_chat() -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Rain?"}, {"role": "assistant", "tool_calls": [CALL]}]}


def open_dataset(path: Path, *bodies: dict[str, Any]) -> OpenDataset:
    path.write_bytes(b"".join(msgspec.json.encode(body) + b"\n" for body in bodies))
    build_index(path, MODEL)
    index = find_index(path, MODEL)
    assert index is not None
    return OpenDataset(path, index)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("HELLO", [0, 1]),
        ("grüße", [1]),
        ("GRÜSSE", [1]),
        ("role", []),  # a key name, not a text
        ('say "hi"\nnow', [2]),
        ('zürich "old"', [3]),
        ('"old"', [3]),
        ("weather", [3]),
        ("", [0, 1, 2, 3]),
    ],
)
def test_search_covers_texts_and_tool_calls_in_any_case(tmp_path: Path, text: str, numbers: list[int]) -> None:
    dataset = open_dataset(
        tmp_path / "a.jsonl",
        chat("hello", "Yes."),
        chat("Hello", "Grüße."),
        chat('Say "hi"\nnow', "Hi."),
        tool_chat(),
    )
    found = dataset.search(text, "", lambda: 0.0)
    assert (list(found.numbers), found.complete) == (numbers, True)


def test_finding_and_text_narrow_the_search_together(tmp_path: Path) -> None:
    dataset = open_dataset(
        tmp_path / "a.jsonl",
        chat("A", "Mail jane@acme-corp.com."),
        chat("B", "Mail joe@acme-corp.com."),
        chat("A", "No."),
    )
    still: Callable[[], float] = lambda: 0.0  # noqa: E731
    assert list(dataset.search("", "email-address", still).numbers) == [0, 1]
    assert list(dataset.search("joe", "email-address", still).numbers) == [1]
    assert list(dataset.search("", "no-such-code", still).numbers) == []


def test_search_stops_at_its_time_limit_and_reports_it(tmp_path: Path) -> None:
    dataset = open_dataset(tmp_path / "a.jsonl", *(chat("Word", f"{number}.") for number in range(10)))
    ticks = count()
    found = dataset.search("word", "", lambda: float(next(ticks)), seconds=4)
    assert (list(found.numbers), found.scanned, found.complete) == ([0, 1, 2, 3], 4, False)


def test_difference_has_added_removed_and_changed_examples(tmp_path: Path) -> None:
    old = open_dataset(
        tmp_path / "old.jsonl", chat("same", "1."), chat("edited", "1."), chat("gone", "1."), chat("twice", "1."),
        chat("twice", "1."),
    )  # fmt: skip
    new = open_dataset(
        tmp_path / "new.jsonl", chat("new", "1."), chat("edited", "2."), chat("twice", "1."), chat("same", "1.")
    )
    found = find_difference(old.index, new.index)
    assert (list(found.added), found.changed, found.unchanged) == ([0], [(1, 1)], 2)
    assert len(found.removed) == 2
    assert 2 in found.removed
    same = find_difference(old.index, old.index)
    assert (len(same.added), len(same.removed), len(same.changed), same.unchanged) == (0, 0, 0, 5)


def test_only_embedded_pictures_of_safe_types_are_served(tmp_path: Path) -> None:
    urls = ["https://example.com/a.png", "data:image/svg+xml;base64,PHN2Zz4=", "data:image/png;base64,iVBORw0KGgo="]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    body = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "Yes."}]}
    dataset = open_dataset(tmp_path / "a.jsonl", body)
    shown = dataset.list_examples([0])[0].chat.messages[0].parts
    assert [part.kind for part in shown] == ["address", "address", "picture"]
    picture = dataset.find_picture(0, 0)
    assert picture is not None
    assert (picture.media_type, picture.content[:4]) == ("image/png", b"\x89PNG")
    assert (dataset.find_picture(0, 1), dataset.find_picture(1, 0)) == (None, None)
