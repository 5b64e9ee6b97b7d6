"""Open files: notices that a file was deleted or replaced while this process has it open.

Nothing else would: SQLite writes on into a file that has no name any more, every call succeeds, and all of it is lost
at the end of the process. Without the lock file a second process could start its work on the same database.
"""

from __future__ import annotations

import os
from pathlib import Path


class FileReplacedError(OSError):
    """A file is not the one that this process has opened."""

    summary = "the database file or its lock file was deleted or replaced"
    hint = (
        "Nothing is sent meanwhile. Stop the service, put the file back or restore a backup, "
        "and start the service again."
    )


class OpenFiles:
    """Files by path, with the device and inode of what was opened there."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}

    def add(self, path: Path, opened: os.stat_result) -> None:
        """From now on this must be the file at the path. A second call with another one raises FileReplacedError."""
        name, identity = str(path.absolute()), (opened.st_dev, opened.st_ino)
        if self._known.setdefault(name, identity) != identity:
            raise _replaced_error(name)

    def check(self) -> None:
        """Raise FileReplacedError if one of them is gone or replaced. Every query pays for it: some microseconds."""
        for name, identity in self._known.items():
            try:
                found = os.stat(name)  # noqa: PTH116 - a Path takes several times as long
            except FileNotFoundError:
                raise FileReplacedError(f"{name} was deleted or moved while the service uses it") from None
            if (found.st_dev, found.st_ino) != identity:
                raise _replaced_error(name)


def _replaced_error(name: str) -> FileReplacedError:
    return FileReplacedError(f"{name} was replaced by another file while the service uses it")
