"""Opens the datasets of a folder for reading: examples, search and differences. Thread-safe; it blocks."""

# Only the index is scanned for a page; the JSONL is read at the offsets of the ten examples of the page. A search
# reads the JSONL, so it has a time limit, and its result is kept: the dashboard polls the same page every 2 seconds.
# A missing index is built in a child process, one at a time, and the caller gets None until it is ready.

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar, cast

import msgspec

from orchestrator.core.dataset import local_filename
from orchestrator.dataset.browse.chat_view import ChatView, Picture, build_chat_view, find_picture, list_texts
from orchestrator.dataset.browse.example_index import ExampleIndex, IndexRow, find_index

SEARCH_SECONDS: Final = 2.0
_CACHE_ENTRIES: Final = 16
_RETRY_SECONDS: Final = 60.0  # after a failed build of an index
T = TypeVar("T")
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowsedExample:
    """An example with the facts of its index row. `number` counts from 1."""

    number: int
    tokens: int
    turns: int
    findings: tuple[str, ...]
    chat: ChatView
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The matching examples, counted from 0. `scanned` is smaller than the dataset if the time limit was reached."""

    numbers: Sequence[int]
    scanned: int
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetDifference:
    """Examples of two datasets, counted from 0. A changed example has the same first user message in both."""

    added: Sequence[int]  # of the new dataset
    removed: Sequence[int]  # of the old dataset
    changed: Sequence[tuple[int, int]]  # of the old and of the new dataset
    unchanged: int


class OpenDataset:
    """A dataset with a valid index."""

    def __init__(self, path: Path, index: ExampleIndex) -> None:
        self._path = path
        self.index = index

    def list_examples(self, numbers: Sequence[int]) -> list[BrowsedExample]:
        """Read these examples, counted from 0."""
        with self._path.open("rb") as file:
            return [self._read(file, number) for number in numbers]

    def find_picture(self, number: int, picture: int) -> Picture | None:
        """Return an embedded picture of an example; None if there is no such example or picture."""
        if not 0 <= number < len(self.index):
            return None
        return find_picture(self.list_examples([number])[0].body, picture)

    def _read(self, file: Any, number: int) -> BrowsedExample:
        row = self.index.get_row(number)
        file.seek(row.offset)
        body = msgspec.json.decode(file.read(row.size))
        return BrowsedExample(
            number=number + 1,
            tokens=row.tokens,
            turns=row.turns,
            findings=self.index.list_codes(row),
            chat=build_chat_view(body),
            body=body,
        )

    def search(self, text: str, finding: str, now: Clock, seconds: float = SEARCH_SECONDS) -> SearchResult:
        """Find the examples that contain the text, in any case, and have the finding. Empty: no condition.

        `now` returns seconds; after `seconds` the search stops with the matches so far.
        """
        total = len(self.index)
        if not text and not finding:
            return SearchResult(range(total), total, True)
        mask = self.index.find_mask(finding) if finding else 0
        if mask is None:
            return SearchResult((), total, True)
        if not text:
            numbers = array("I", (number for number, row in enumerate(self.index) if row.findings & mask))
            return SearchResult(numbers, total, True)
        return self._search_text(text, mask, now, now() + seconds)

    def _search_text(self, text: str, mask: int, now: Clock, deadline: float) -> SearchResult:
        matches, needle, numbers = _build_line_filter(text), text.casefold(), array("I")
        with self._path.open("rb") as file:
            for number, (row, line) in enumerate(zip(self.index, file, strict=False)):
                if mask and not row.findings & mask:
                    continue
                if now() > deadline:
                    return SearchResult(numbers, number, False)
                # The line also contains key names and pictures, so a match is confirmed on the texts.
                if matches(line) and any(needle in each.casefold() for each in list_texts(msgspec.json.decode(line))):
                    numbers.append(number)
        return SearchResult(numbers, len(self.index), True)


def _build_line_filter(text: str) -> Callable[[bytes], bool]:
    """Return a fast test of a line: false only if no text of it contains `text`."""
    # Characters that JSON escapes may be escaped twice in the arguments of a tool call; letters and digits never are,
    # unless a client wrote the arguments with `\\u`.
    words = "".join(letter if letter.isalnum() else "\n" for letter in text.casefold()).split("\n")
    longest = max(words, key=len)
    if longest.isascii():
        needle = longest.encode()
        return lambda line: needle in line.lower()
    return lambda line: longest in (folded := line.decode().casefold()) or "\\u" in folded


def find_difference(old: ExampleIndex, new: ExampleIndex) -> DatasetDifference:
    """Compare two datasets. Equal lines are the same example, however often and in whatever order they appear."""
    old_lines = Counter(row.line_hash for row in old)
    candidates: list[tuple[int, int]] = []
    for number, row in enumerate(new):
        if old_lines[row.line_hash] > 0:
            old_lines[row.line_hash] -= 1
        else:
            candidates.append((number, row.prompt_hash))
    left = _group_by_prompt(old, old_lines)
    added, changed = array("I"), []
    for number, prompt in candidates:
        if numbers := left.get(prompt):
            changed.append((numbers.pop(), number))
        else:
            added.append(number)
    return DatasetDifference(
        added=added,
        removed=array("I", sorted(number for numbers in left.values() for number in numbers)),
        changed=changed,
        unchanged=len(new) - len(candidates),
    )


def _group_by_prompt(index: ExampleIndex, left: Counter[int]) -> dict[int, list[int]]:
    """Return the numbers of the examples whose lines are counted in `left`, by prompt, the last first."""
    grouped: dict[int, list[int]] = {}
    rows: list[tuple[int, IndexRow]] = list(enumerate(index)) if +left else []
    for number, row in reversed(rows):
        if left[row.line_hash] > 0:
            left[row.line_hash] -= 1
            grouped.setdefault(row.prompt_hash, []).append(number)
    return grouped


class ExampleLibrary:
    """The datasets of a folder. It keeps open indexes, and the results of searches and differences."""

    def __init__(self, folder: Path, now: Clock) -> None:
        """Prepare the library. `now` returns seconds on a clock that never jumps."""
        self._folder = folder
        self._now = now
        self._lock = Lock()
        self._cache: OrderedDict[Hashable, Any] = OrderedDict()
        self._builder: subprocess.Popen[bytes] | None = None
        self._failures: dict[Path, float] = {}
        self._building: Path | None = None

    def has_file(self, part_sha256: str) -> bool:
        """Return whether the JSONL file with this hash is on this machine."""
        return (self._folder / local_filename(part_sha256)).is_file()

    def has_failed(self, part_sha256: str) -> bool:
        """Return whether the index of this file could not be built a moment ago."""
        return self._is_blocked(self._folder / local_filename(part_sha256))

    def _is_blocked(self, path: Path) -> bool:
        return self._now() - self._failures.get(path, float("-inf")) < _RETRY_SECONDS

    def find_dataset(self, part_sha256: str, base_model: str) -> OpenDataset | None:
        """Return the open dataset; None if its file is missing or its index is still being built."""
        path = self._folder / local_filename(part_sha256)
        try:
            state = path.stat()
        except OSError:
            return None
        key = ("index", path, state.st_size, state.st_mtime_ns, base_model)
        with self._lock:
            if (known := self._cache.get(key)) is not None:
                return cast(OpenDataset, known)
            if (index := find_index(path, base_model)) is None:
                self._start_builder(path, base_model)
                return None
            return self._keep(key, OpenDataset(path, index))

    def search(self, dataset: OpenDataset, text: str, finding: str) -> SearchResult:
        """Search, or return the known result of the same search."""
        return self._compute(
            ("search", id(dataset), text, finding), dataset, lambda: dataset.search(text, finding, self._now)
        )

    def compare(self, old: OpenDataset, new: OpenDataset) -> DatasetDifference:
        """Return the difference of two datasets, or the known one."""
        return self._compute(
            ("difference", id(old), id(new)), (old, new), lambda: find_difference(old.index, new.index)
        )

    def _compute(self, key: Hashable, owner: Any, compute: Callable[[], T]) -> T:
        with self._lock:
            if (known := self._cache.get(key)) is not None:
                self._cache.move_to_end(key)
                return cast(T, known[1])
        result = compute()
        with self._lock:
            self._keep(key, (owner, result))  # the owner lives as long as the entry, so that its id stays its own
        return result

    def _keep(self, key: Hashable, value: T) -> T:
        self._cache[key] = value
        while len(self._cache) > _CACHE_ENTRIES:
            self._cache.popitem(last=False)
        return value

    def _start_builder(self, path: Path, base_model: str) -> None:
        """Start the child process that builds an index, unless one is running or this file failed recently."""
        if self._builder is not None:
            if (code := self._builder.poll()) is None:
                return
            if code and self._building is not None:
                self._failures[self._building] = self._now()
            self._builder = None
        if self._is_blocked(path):
            return
        self._building = path
        self._builder = subprocess.Popen(
            (sys.executable, "-P", "-m", "orchestrator.dataset.browse.index_builder", str(path), base_model),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            process_group=0,
        )
