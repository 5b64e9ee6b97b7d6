"""A text stream whose writes never wait for its reader.

Theory of operation. A pipe takes a limited number of bytes (64 KB on Linux). When nobody reads it, the next write to
it waits for ever, and with it the thread that writes: for a log line that is the event loop, so that nothing is
answered and no signal is handled any more. Here a thread of its own does the writing. Texts wait for it in order and
up to a limit; what goes beyond the limit is dropped and counted, because memory is limited as well.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, TextIO

MAX_WAITING_CHARACTERS: Final = 8_000_000  # some ten thousand log lines


class QueuedStream:
    """Write to `stream` in a thread. `report_dropped` is called with a count when there is room again."""

    def __init__(
        self,
        stream: TextIO,
        report_dropped: Callable[[int], None],
        max_waiting_characters: int = MAX_WAITING_CHARACTERS,
    ) -> None:
        self._stream = stream
        self._report_dropped = report_dropped
        self._max_waiting_characters = max_waiting_characters
        self._waiting: deque[str] = deque()
        self._waiting_characters = 0
        self._dropped = 0
        self._is_writing = False
        self._changed = threading.Condition()
        threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def write(self, text: str) -> int:
        """Queue the text, or drop it if the queue is full."""
        if dropped := self._take_dropped():
            self._report_dropped(dropped)  # which writes here: outside the lock, and before the text
        with self._changed:
            if self._is_full:
                self._dropped += 1
            else:
                self._waiting.append(text)
                self._waiting_characters += len(text)
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Do nothing: logging calls it after every line. `drain` waits."""

    def isatty(self) -> bool:
        return self._stream.isatty()

    def drain(self, seconds: float) -> bool:
        """Wait until everything is written, at most twice `seconds`. Returns whether it is."""
        if not self._wait_until_written(seconds):
            return False
        if dropped := self._take_dropped():
            self._report_dropped(dropped)
        return self._wait_until_written(seconds)

    def _wait_until_written(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._is_writing, seconds)

    @property
    def _is_full(self) -> bool:
        return self._waiting_characters >= self._max_waiting_characters

    def _take_dropped(self) -> int:
        """Return how many texts were dropped, if that can be reported now; they then count as reported."""
        with self._changed:
            if self._is_full:
                return 0
            dropped, self._dropped = self._dropped, 0
            return dropped

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                # All at once: a thread beside a busy event loop gets its turn only some hundred times a second.
                text = "".join(self._waiting)
                self._waiting.clear()
                self._waiting_characters = 0
                self._is_writing = True
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):  # closed, or the disk is full: there is nowhere to say so
                continue
