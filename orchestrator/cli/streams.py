"""Standard streams that a command can rely on: none is missing, and no character ends it with a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Final

EXIT_FAILED: Final = 1


def prepare_streams() -> None:
    """Replace the streams that are closed, and have characters that the encoding lacks written as `\\xe9`.

    The same holds for file names that are not UTF-8: JSON stays JSON, and UTF-8.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            # Until it is taken, the next file that is opened gets this number, and what is printed goes into it.
            flags = os.O_WRONLY if name == "stderr" else os.O_RDONLY  # writing to stdout is to fail
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(_open_null(number, flags), mode, encoding="utf-8"))
        elif name == "stderr" and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout = _Stdout(sys.stdout)


class OutputFailed(OSError):
    """What was printed could not be written. Told apart from every other file that the system refuses."""


class _Stdout(TextIOWrapper):
    """Stdout as it was, with errors of its own."""

    def __init__(self, stdout: TextIOWrapper) -> None:
        encoding, buffering, through = stdout.encoding, stdout.line_buffering, stdout.write_through
        super().__init__(
            stdout.detach(),
            encoding=encoding,
            errors="backslashreplace",
            line_buffering=buffering,
            write_through=through,
        )

    def write(self, text: str, /) -> int:
        with _translate_write_errors():
            return super().write(text)

    def flush(self) -> None:
        with _translate_write_errors():
            super().flush()


@contextmanager
def _translate_write_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(error.errno, error.strerror) from None


@contextmanager
def check_output() -> Iterator[None]:
    """End the program with a message where its output cannot be written: the disk is full, or stdout is closed."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()  # the reader has gone, which is its right
        sys.exit(EXIT_FAILED)
    except OutputFailed as error:
        _discard_output()
        sys.stderr.write(f"error: the output cannot be written to stdout: {error.strerror}\n")
        sys.stderr.write("hint: Make room, or let stdout lead to a file or a pipe that is open.\n")
        sys.exit(EXIT_FAILED)


def _discard_output() -> None:
    """Or Python would try once more at its end, and complain."""
    os.dup2(_open_null(-1, os.O_WRONLY), sys.stdout.fileno())


def _open_null(number: int, flags: int) -> int:
    descriptor = os.open(os.devnull, flags)
    if number < 0 or descriptor == number:
        return descriptor
    os.dup2(descriptor, number)
    os.close(descriptor)
    return number
