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

PREFIX: Final = ".building-"


@contextmanager
def working_folder(into: Path) -> Iterator[Path]:
    """Create a folder within `into` and remove it afterwards, together with those of processes that were killed."""
    with _locked(into):  # or another process could take the new folder for an abandoned one
        _remove_abandoned(into)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=into))
        lock = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_abandoned(into: Path) -> None:
    """Remove the folders of processes that were killed."""
    with suppress(OSError), _locked(into):
        _remove_abandoned(into)


def _remove_abandoned(into: Path) -> None:
    for folder in into.glob(f"{PREFIX}*"):
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
