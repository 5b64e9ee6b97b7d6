"""Opens the datasets of a folder for reading: examples, search and differences. Thread-safe; it blocks."""

# Only the index is scanned for a page; the JSONL is read at the offsets of the ten examples of the page. A search
# reads the JSONL, so it runs in a thread, and a page shows what was found until then: the dashboard polls the same
# page every 2 seconds. Indexes, searches and differences are kept, at most 16 together.
# A missing index is built in a child process, one at a time, and the caller gets None until it is ready.

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar, cast

import msgspec

from orchestrator.core.dataset import local_filename
from orchestrator.core.structs import Struct
from orchestrator.dataset.browse.chat_view import ChatView, Picture, build_chat_view, find_picture
from orchestrator.dataset.browse.example_index import ExampleIndex, find_index
from orchestrator.dataset.browse.example_search import ExampleSearch, SearchResult, find_by_code
from orchestrator.system.child_environment import build_child_environment

SEARCH_SECONDS: Final = 60.0
SEARCH_WAIT_SECONDS: Final = 0.15  # of a page for its search
MAX_RUNNING_SEARCHES: Final = 3
_CACHE_ENTRIES: Final = 16
_RETRY_SECONDS: Final = 60.0  # after a failed build of an index
T = TypeVar("T")
Clock = Callable[[], float]


class BrowsedExample(Struct, frozen=True, kw_only=True):
    """An example with the facts of its index row. `number` counts from 1."""

    number: int
    tokens: int
    turns: int
    findings: tuple[str, ...]
    chat: ChatView
    body: dict[str, Any]


class DatasetDifference(Struct, frozen=True, kw_only=True):
    """Examples of two datasets, counted from 0. A changed example has the same first user message in both."""

    added: Sequence[int]  # of the new dataset
    removed: Sequence[int]  # of the old dataset
    changed_old: Sequence[int]  # of the old dataset
    changed_new: Sequence[int]  # their new versions, in the same order
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

    @property
    def path(self) -> Path:
        """Path of the JSONL file."""
        return self._path


def find_difference(old: ExampleIndex, new: ExampleIndex) -> DatasetDifference:
    """Compare two datasets. Equal lines are the same example, however often and in whatever order they appear."""
    old_lines = Counter(old.list_column("line_hash"))
    candidates = array("I")
    for number, line in enumerate(new.list_column("line_hash")):
        if old_lines.get(line, 0):
            old_lines[line] -= 1
        else:
            candidates.append(number)
    left = _group_by_prompt(old, old_lines)
    added, changed_old, changed_new = array("I"), array("I"), array("I")
    for number in candidates:
        if numbers := left.get(new.get_row(number).prompt_hash):
            changed_old.append(numbers.pop())
            changed_new.append(number)
        else:
            added.append(number)
    return DatasetDifference(
        added=added,
        removed=array("I", sorted(number for numbers in left.values() for number in numbers)),
        changed_old=changed_old,
        changed_new=changed_new,
        unchanged=len(new) - len(candidates),
    )


def _group_by_prompt(index: ExampleIndex, left: Counter[int]) -> dict[int, list[int]]:
    """Return the numbers of the examples whose lines are counted in `left`, by prompt, the last first."""
    grouped: dict[int, list[int]] = {}
    lines = index.list_column("line_hash") if +left else []
    for number in reversed(range(len(lines))):
        if left.get(lines[number], 0):
            left[lines[number]] -= 1
            grouped.setdefault(index.get_row(number).prompt_hash, []).append(number)
    return grouped


class ExampleLibrary:
    """The datasets of a folder. It keeps open indexes, and the results of searches and differences."""

    def __init__(self, folder: Path, now: Clock) -> None:
        """Prepare the library. `now` returns seconds on a clock that never jumps."""
        self._folder = folder
        self._now = now
        self._lock = Lock()
        self._comparison_lock = Lock()
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
                self._cache.move_to_end(key)
                return cast(OpenDataset, known)
            if (index := find_index(path, base_model)) is None:
                self._start_builder(path, base_model)
                return None
            return self._keep(key, OpenDataset(path, index))

    def search(self, dataset: OpenDataset, text: str, finding: str) -> SearchResult:
        """Return the examples with the text and the finding; of a running search, those found so far."""
        if not text:
            return find_by_code(dataset.index, finding)
        return self._start_search(dataset, text, finding).wait(SEARCH_WAIT_SECONDS)

    def _start_search(self, dataset: OpenDataset, text: str, finding: str) -> ExampleSearch:
        """Start the search in a thread, or return the known one. A new one stops the oldest of too many."""
        key = ("search", dataset.path, dataset.index.header, text, finding)
        with self._lock:
            if (known := self._cache.get(key)) is not None and not known.is_stopped:
                self._cache.move_to_end(key)
                return cast(ExampleSearch, known)
            search = self._keep(key, ExampleSearch(dataset.path, dataset.index, text, finding))
            running = [each for each in self._cache.values() if isinstance(each, ExampleSearch) and each.is_running]
            for each in running[: max(0, len(running) - MAX_RUNNING_SEARCHES)]:
                each.stop()
        search.start(self._now, SEARCH_SECONDS)
        return search

    def compare(self, old: OpenDataset, new: OpenDataset) -> DatasetDifference:
        """Return the difference of two datasets, or the known one."""
        key = ("difference", old.path, old.index.header, new.path, new.index.header)
        with self._comparison_lock:  # one at a time: a comparison needs memory for every example of both datasets
            with self._lock:
                if (known := self._cache.get(key)) is not None:
                    self._cache.move_to_end(key)
                    return cast(DatasetDifference, known)
            difference = find_difference(old.index, new.index)
            with self._lock:
                return self._keep(key, difference)

    def _keep(self, key: Hashable, value: T) -> T:
        self._cache[key] = value
        while len(self._cache) > _CACHE_ENTRIES:
            _, oldest = self._cache.popitem(last=False)
            if isinstance(oldest, ExampleSearch):
                oldest.stop()
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
            env=build_child_environment(os.environ),
            process_group=0,
        )
