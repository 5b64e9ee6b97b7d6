"""A temporary folder for a dataset build, in the folder of the finished datasets.

It is on the same file system, so that a finished file can be renamed atomically. A killed process cannot delete its
folder. Therefore the owner locks it, the system releases the lock with the process, and the next build deletes all
folders without a lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

WORKING_FOLDER_PREFIX: Final = ".building-"


@contextmanager
def create_working_folder(parent: Path) -> Iterator[Path]:
    """Create a folder in `parent` and delete it at the end. Also delete the folders of killed processes."""
    with _locked(parent):  # another process must not see the new folder before it is locked
        _delete_abandoned(parent)
        folder = Path(tempfile.mkdtemp(prefix=WORKING_FOLDER_PREFIX, dir=parent))
        lock = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def delete_abandoned_folders(parent: Path) -> None:
    """Delete the folders of killed processes."""
    with suppress(OSError), _locked(parent):
        _delete_abandoned(parent)


def _delete_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{WORKING_FOLDER_PREFIX}*"):
        if (lock := _lock(folder, wait=False)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = _lock(folder)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _lock(folder: Path, *, wait: bool = True) -> int | None:
    """Lock the folder until the descriptor is closed; None if it is locked, or cannot be locked (NFS)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor
    return None
