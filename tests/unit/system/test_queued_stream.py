"""A log that nobody reads stops no thread but its own."""

from __future__ import annotations

import threading
from io import StringIO
from typing import cast

from orchestrator.system.queued_stream import QueuedStream

WAIT = 60.0


class Pipe(StringIO):
    """A stream whose writes wait for its reader."""

    def __init__(self) -> None:
        super().__init__()
        self.has_reader = threading.Event()
        self.has_writer = threading.Event()

    def write(self, text: str) -> int:
        self.has_writer.set()
        self.has_reader.wait(WAIT)
        return super().write(text)


def test_writes_keep_their_order_without_blocking() -> None:
    pipe = Pipe()
    stream = QueuedStream(pipe, lambda _: None)
    for number in range(1000):
        stream.write(f"{number}\n")
    assert not stream.drain(0.05)
    pipe.has_reader.set()
    assert stream.drain(WAIT)
    assert pipe.getvalue().split() == [str(number) for number in range(1000)]


def test_lines_beyond_the_limit_are_dropped_and_counted() -> None:
    pipe = Pipe()
    stream = QueuedStream(pipe, lambda dropped: cast(None, stream.write(f"{dropped} dropped\n")), 40)
    stream.write("first\n")
    assert pipe.has_writer.wait(WAIT)  # it waits in a write now, and the queue is empty
    for number in range(10, 30):
        stream.write(f"line {number}\n")
    pipe.has_reader.set()
    assert stream.drain(WAIT)
    stream.write("last\n")
    assert stream.drain(WAIT)
    kept = [f"line {number}" for number in range(10, 15)]
    assert pipe.getvalue().splitlines() == ["first", *kept, "15 dropped", "last"]


def test_failing_stream_does_not_stop_the_writer() -> None:
    closed = StringIO()
    closed.close()
    stream = QueuedStream(closed, lambda _: None)
    for _ in range(3):
        stream.write("text")
        assert stream.drain(WAIT)
