"""Standard streams that commands can rely on: none is missing, and no character causes a traceback."""

# Theory of operation
#
# A command can be started with closed streams (`orchestrator status >&-`), with an encoding that lacks characters
# (LANG=C), with a full disk behind stdout, or with a reader that leaves early (`| head`). Python answers each of
# these with a traceback, and some of them with exit code 0. Therefore:
#
# 1. `prepare_streams` runs first. It opens /dev/null on every closed stream. This has to happen before any other file
#    is opened: the system gives a new file the lowest free number, so that a database opened as number 1 would
#    receive what is printed.
# 2. Characters that the encoding lacks are written as escapes such as `\xe9`.
# 3. Errors of stdout are raised as OutputFailed, so that they differ from errors of any other file.
# 4. `check_output` encloses the whole program. It flushes stdout at the end, because buffered text that cannot be
#    written is an error of this program, and turns a failure into a message and exit code 1. A reader that leaves
#    early is no error worth a message; the exit code is 1 as well, because the output is incomplete.

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

from orchestrator.cli.exit_code import ExitCode


class OutputFailed(OSError):
    """The output could not be written. A class of its own, so that no other file error is taken for it."""


def prepare_streams() -> None:
    """Replace closed streams by /dev/null, and escape characters that an encoding lacks.

    File names that are not valid UTF-8 are escaped in the same way, so that JSON stays JSON and UTF-8.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            # /dev/null is opened read-only for stdout: a command whose output is lost must fail, not succeed.
            flags = os.O_WRONLY if name == "stderr" else os.O_RDONLY
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(_open_null(number, flags), mode, encoding="utf-8"))
        elif name == "stderr" and isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout = _Stdout(sys.stdout)


@contextmanager
def check_output() -> Iterator[None]:
    """End the program with a message if its output cannot be written: the disk is full, or stdout is closed."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        sys.exit(ExitCode.FAILED)
    except OutputFailed as error:
        _discard_output()
        sys.stderr.write(f"error: the output cannot be written to stdout: {error.strerror}\n")
        sys.stderr.write("hint: Free disk space, or redirect stdout to a file or pipe that is open.\n")
        sys.exit(ExitCode.FAILED)


class _Stdout(TextIOWrapper):
    """The same stdout, with write errors as OutputFailed."""

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


def _discard_output() -> None:
    """Send the buffered rest to /dev/null; Python would otherwise try to write it again at exit and complain."""
    os.dup2(_open_null(-1, os.O_WRONLY), sys.stdout.fileno())


def _open_null(number: int, flags: int) -> int:
    descriptor = os.open(os.devnull, flags)
    if number < 0 or descriptor == number:
        return descriptor
    os.dup2(descriptor, number)
    os.close(descriptor)
    return number
