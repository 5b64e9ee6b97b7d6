"""The search over the examples of a dataset. It runs in a thread of its own, and its matches so far can be read."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event, Thread
from time import sleep
from typing import Final

import msgspec

from orchestrator.core.structs import Struct
from orchestrator.dataset.browse.chat_view import list_texts
from orchestrator.dataset.browse.example_index import ExampleIndex

_LINES_PER_CLOCK_READ: Final = 100
# Without a pause, a long search delays every other thread of the service by the switch interval of the interpreter.
_LINES_PER_PAUSE: Final = 500
_PAUSE_SECONDS: Final = 0.0002


class SearchResult(Struct, frozen=True):
    """The matching examples, counted from 0. `scanned` is smaller than the dataset if the search is not complete."""

    numbers: Sequence[int]
    scanned: int
    complete: bool
    is_running: bool = False


class ExampleSearch:
    """A search for the examples that contain a text, in any case, and that have a finding if one is named."""

    def __init__(self, path: Path, index: ExampleIndex, text: str, finding: str) -> None:
        self._path = path
        self._index = index
        self._text = text
        self._mask = index.find_mask(finding) if finding else 0
        self._numbers = array("I")
        self._scanned = 0
        self._ended = Event()
        self.is_running = True
        self.is_stopped = False

    def start(self, now: Callable[[], float], seconds: float) -> None:
        """Search in a thread that does not outlive the process, for at most `seconds`."""
        Thread(target=self.run, args=(now, seconds), name="example-search", daemon=True).start()

    def stop(self) -> None:
        """End the search soon."""
        self.is_stopped = True

    def wait(self, seconds: float) -> SearchResult:
        """Return the result, or what was found when the seconds have passed."""
        self._ended.wait(seconds)
        return self.get_result()

    def get_result(self) -> SearchResult:
        """Return what was found so far."""
        running, scanned = self.is_running, self._scanned  # in this order: `is_running` changes last
        complete = scanned == len(self._index)
        return SearchResult(self._numbers[:], scanned, complete, running and not complete)

    def run(self, now: Callable[[], float], seconds: float) -> None:
        """Scan the examples. `now` returns seconds; after `seconds` the search ends with the matches so far."""
        try:
            if self._mask is None:
                self._scanned = len(self._index)
            else:
                self._scan(self._mask, now, now() + seconds)
        except OSError:
            pass  # the file was deleted: the next request finds no dataset
        finally:
            self.is_running = False
            self._ended.set()

    def _scan(self, mask: int, now: Callable[[], float], deadline: float) -> None:
        matches, needle = _build_line_filter(self._text), self._text.casefold()
        with self._path.open("rb") as file:
            for number, (row, line) in enumerate(zip(self._index, file, strict=False)):
                if number % _LINES_PER_CLOCK_READ == 0 and (self.is_stopped or now() > deadline):
                    return
                if number % _LINES_PER_PAUSE == 0:
                    sleep(_PAUSE_SECONDS)
                # The line also contains key names and pictures, so a match is confirmed on the texts.
                if (not mask or row.findings & mask) and matches(line) and _contains(line, needle):
                    self._numbers.append(number)
                self._scanned = number + 1


def find_by_code(index: ExampleIndex, finding: str) -> SearchResult:
    """Return the examples with a finding; all of them if it is empty."""
    total = len(index)
    if not finding:
        return SearchResult(range(total), total, True)
    if (mask := index.find_mask(finding)) is None:
        return SearchResult((), total, True)
    return SearchResult(index.find_numbers(mask), total, True)


def _contains(line: bytes, needle: str) -> bool:
    return any(needle in text.casefold() for text in list_texts(msgspec.json.decode(line)))


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
