"""Detects that the chats have changed, without reading them.

At a regular interval the names, sizes and modification times of the files are compared with those from which the
dataset in force was built. A difference counts only when two comparisons in a row had the same result: a file that is
still being written changes between them. A comparison takes about a second for 100,000 files, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock

from orchestrator.dataset.read.source_files import DatasetPaths


class DatasetWatcher:
    """Compares the dataset's files with the last build. `fingerprint` may take long and is called in a thread."""

    def __init__(self, interval_seconds: float, fingerprint: Callable[[DatasetPaths], str]) -> None:
        self.interval_seconds = interval_seconds
        self._fingerprint = fingerprint
        self._lock = Lock()  # `set_baseline` runs in a thread, `has_changed` on the event loop
        self._path: DatasetPaths | None = None
        self._baseline = ""  # the files from which the dataset was built, or that were reported as changed
        self._last_fingerprint = ""  # the files at the last comparison

    def set_baseline(self, path: DatasetPaths) -> None:
        """Store the state of the files from which the dataset is about to be built. Call it in a thread.

        Call it before the build and not after it, so that a change during the build is detected.
        """
        fingerprint = self._fingerprint(path)
        with self._lock:
            self._path, self._baseline, self._last_fingerprint = path, fingerprint, fingerprint

    async def has_changed(self) -> bool:
        """Return whether the files differ from the baseline and are stable. Each change is reported once."""
        path = self._path
        if path is None:
            return False
        fingerprint = await asyncio.to_thread(self._fingerprint, path)
        with self._lock:
            if path != self._path:  # the accounts file named another folder meanwhile
                return False
            is_stable, self._last_fingerprint = fingerprint == self._last_fingerprint, fingerprint
            if not is_stable or fingerprint == self._baseline:
                return False
            self._baseline = fingerprint
            return True
