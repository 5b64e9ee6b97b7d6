"""Create files and folders that only their owner may read, whatever the umask.

The database holds every message of the providers and the datasets hold the chats. What exists already keeps its mode:
somebody may have chosen it, and `doctor` reports where it is wider.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_OTHERS_MASK: Final = stat.S_IRWXG | stat.S_IRWXO


def create_private_folder(path: Path) -> None:
    """Create the folder, and its parents with the usual mode, unless it exists."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)


def create_private_file(path: Path) -> None:
    """Create an empty file unless it exists."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))


def open_private_file(path: Path) -> BinaryIO:
    """Open a new file for writing. Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    return os.fdopen(descriptor, "wb")


def is_open_to_others(path: Path) -> bool:
    """Return whether anyone but the owner has access to the file or folder; False if it does not exist."""
    try:
        return bool(path.stat().st_mode & _OTHERS_MASK)
    except OSError:
        return False
