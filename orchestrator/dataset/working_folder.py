"""The folder in which a dataset is being built, beside the finished ones.

A process that is killed cannot remove its folder. The owner therefore holds a lock on it, which the system releases
with the process, and everyone who comes later removes the folders that nobody holds.
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
    """Create a folder within `into` and remove it afterwards, together with those of processes that were killed."""
    with _locked(parent):  # or another process could take the new folder for an abandoned one
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
    """Remove the folders of processes that were killed."""
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
    """Lock the folder until the descriptor is closed; None where it is locked already, or cannot be (NFS)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor
    return None
