"""Detects that a file was deleted or replaced while this process has it open.

SQLite itself does not: it continues to write into the file that has no name any more, every call succeeds, and
everything is lost when the process ends. Without the lock file a second process could work on the same database.
"""

from __future__ import annotations

import os
from pathlib import Path


class FileReplacedError(OSError):
    """A file is not the one that this process has opened."""

    summary = "the database file or its lock file was deleted or replaced"
    hint = (
        "Nothing is sent to providers meanwhile. Stop the service, put the file back or restore a backup, "
        "and start the service again."
    )


class OpenFiles:
    """The files that this process has open, with their device and inode numbers."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}

    def add(self, path: Path, opened: os.stat_result) -> None:
        """Register the file opened at a path. Raises FileReplacedError when another one was registered."""
        name, identity = str(path.absolute()), (opened.st_dev, opened.st_ino)
        if self._known.setdefault(name, identity) != identity:
            raise _replaced_error(name)

    def check(self) -> None:
        """Raise FileReplacedError if a file is missing or replaced. Runs before every query (some microseconds)."""
        for name, identity in self._known.items():
            try:
                current = os.stat(name)  # noqa: PTH116 - Path.stat takes several times as long
            except FileNotFoundError:
                raise FileReplacedError(f"{name} was deleted or moved while the service uses it") from None
            if (current.st_dev, current.st_ino) != identity:
                raise _replaced_error(name)


def _replaced_error(name: str) -> FileReplacedError:
    return FileReplacedError(f"{name} was replaced by another file while the service uses it")
