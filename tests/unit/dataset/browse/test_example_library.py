"""Search over the examples of a dataset, and the difference between two datasets."""

from __future__ import annotations

from array import array
from itertools import count
from pathlib import Path
from threading import Event, current_thread
from typing import Any

import msgspec
import pytest

from orchestrator.core.dataset import local_filename
from orchestrator.dataset.browse.example_index import find_index
from orchestrator.dataset.browse.example_library import (
    MAX_RUNNING_SEARCHES,
    ExampleLibrary,
    OpenDataset,
    find_difference,
)
from orchestrator.dataset.browse.example_search import ExampleSearch, SearchResult, find_by_code
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


def run_search(dataset: OpenDataset, text: str, finding: str = "") -> SearchResult:
    search = ExampleSearch(dataset.path, dataset.index, text, finding)
    search.run(lambda: 0.0, 1)
    return search.get_result()


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
    found = run_search(dataset, text)
    assert (list(found.numbers), found.complete) == (numbers, True)


def test_finding_and_text_narrow_the_search_together(tmp_path: Path) -> None:
    dataset = open_dataset(
        tmp_path / "a.jsonl",
        chat("A", "Mail jane@acme-corp.com."),
        chat("B", "Mail joe@acme-corp.com."),
        chat("A", "No."),
    )
    assert list(find_by_code(dataset.index, "email-address").numbers) == [0, 1]
    assert list(find_by_code(dataset.index, "no-such-code").numbers) == []
    assert list(run_search(dataset, "joe", "email-address").numbers) == [1]
    assert run_search(dataset, "joe", "no-such-code") == SearchResult(array("I"), 3, True)


def test_search_stops_at_its_time_limit_and_reports_it(tmp_path: Path) -> None:
    dataset = open_dataset(tmp_path / "a.jsonl", *(chat("Word", f"{number}.") for number in range(1000)))
    ticks = count()
    search = ExampleSearch(dataset.path, dataset.index, "word", "")
    search.run(lambda: float(next(ticks)), 4)
    found = search.get_result()
    assert (len(found.numbers), found.scanned, found.complete, found.is_running) == (400, 400, False, False)


def test_search_continues_in_the_background_and_is_kept(tmp_path: Path) -> None:
    open_dataset(tmp_path / local_filename("a" * 64), *(chat("Word", f"{number}.") for number in range(300)))
    clock, ticks, may_continue = count(), 0, Event()

    def now() -> float:
        nonlocal ticks
        ticks += 1
        if ticks == 4:  # the thread has scanned 200 examples
            may_continue.wait(60)
        return float(next(clock)) / 1000

    library = ExampleLibrary(tmp_path, now)
    dataset = library.find_dataset("a" * 64, MODEL)
    assert dataset is not None
    found = library.search(dataset, "word", "")
    assert (found.complete, found.is_running, len(found.numbers) <= 200) == (False, True, True)
    may_continue.set()
    while library.search(dataset, "word", "").is_running:
        pass
    found = library.search(dataset, "word", "")
    assert (len(found.numbers), found.complete) == (300, True)
    dataset.path.write_bytes(b"")  # the kept result needs no file
    assert library.search(dataset, "word", "") == found


def test_new_searches_stop_the_oldest_and_the_library_keeps_few(tmp_path: Path) -> None:
    open_dataset(tmp_path / local_filename("a" * 64), *(chat("Word", f"{number}.") for number in range(300)))
    may_continue = Event()

    def now() -> float:
        if current_thread().name == "example-search":
            may_continue.wait(60)
        return 0.0

    library = ExampleLibrary(tmp_path, now)
    dataset = library.find_dataset("a" * 64, MODEL)
    assert dataset is not None
    searches = [library._start_search(dataset, f"word {number}", "") for number in range(MAX_RUNNING_SEARCHES + 2)]
    assert [search.is_stopped for search in searches] == [True, True, *[False] * MAX_RUNNING_SEARCHES]
    may_continue.set()
    for number in range(100):
        library.search(dataset, f"text {number}", "")
    assert len(library._cache) == 16


def test_difference_has_added_removed_and_changed_examples(tmp_path: Path) -> None:
    old = open_dataset(
        tmp_path / "old.jsonl", chat("same", "1."), chat("edited", "1."), chat("gone", "1."), chat("twice", "1."),
        chat("twice", "1."),
    )  # fmt: skip
    new = open_dataset(
        tmp_path / "new.jsonl", chat("new", "1."), chat("edited", "2."), chat("twice", "1."), chat("same", "1.")
    )
    found = find_difference(old.index, new.index)
    assert (list(found.added), list(found.changed_old), list(found.changed_new)) == ([0], [1], [1])
    assert found.unchanged == 2
    assert len(found.removed) == 2
    assert 2 in found.removed
    same = find_difference(old.index, old.index)
    assert (len(same.added), len(same.removed), len(same.changed_old), same.unchanged) == (0, 0, 0, 5)


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
