"""Opens the files that an operator names, only if they are regular files.

A named pipe blocks the reader for ever, a device such as /dev/zero never ends, and a socket cannot be opened at all.
So the type is checked twice: by the path, because opening some devices has effects of its own, and again on the
opened descriptor, because the path may lead elsewhere by then. O_NONBLOCK keeps the open call from waiting.

Every error is an OSError whose `strerror` is fit for a message of the form "PATH cannot be read (STRERROR)".
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from orchestrator.core.text import format_bytes

MAX_TEXT_BYTES: Final = 16 * 1024 * 1024
"""For files that are read as a whole and are written by hand: accounts file, settings, prices, lists of names."""

_OPEN_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_FILE_TYPE_NAMES: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


class NotRegularFile(OSError):
    """The path is not a regular file."""


class FileTooLarge(OSError):
    """The file is larger than the limit."""


def open_regular_file(path: Path) -> BinaryIO:
    """Open the file for reading. Raises OSError, and NotRegularFile where the path leads to anything else."""
    _check_type(path, path.stat().st_mode)
    descriptor = os.open(path, _OPEN_FLAGS)
    try:
        _check_type(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_beginning(path: Path | str, max_bytes: int) -> bytes:
    """Return at most `max_bytes` of a file that was a regular one a moment ago. Raises the errors of above.

    It makes half of the system calls of `open_regular_file`, which matters for folders of many small files.
    """
    descriptor = os.open(path, _OPEN_FLAGS)
    try:
        state = os.fstat(descriptor)
        _check_type(path, state.st_mode)
        content = os.read(descriptor, max_bytes)
        while len(content) != state.st_size and (more := os.read(descriptor, max_bytes - len(content))):
            content += more
        return content
    finally:
        os.close(descriptor)


def read_regular_file(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Return the content of a regular file. Raises OSError, and FileTooLarge for more than `limit` bytes."""
    with open_regular_file(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise FileTooLarge(errno.EFBIG, f"it has more than {format_bytes(max_bytes)}", str(path))
    return content


def _check_type(path: Path | str, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    what = next((name for matches, name in _FILE_TYPE_NAMES if matches(mode)), "something else")
    raise NotRegularFile(errno.EINVAL, f"it is {what}, not a regular file", str(path))
