"""Notice that the chats have changed, without reading them.

Every so often the names, sizes and modification times of the files are compared with those that the dataset in force
was built from. A difference counts only once two looks in a row found the same: a file that is still being written
changes between them. The comparison takes about a second for 100,000 files, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock

from orchestrator.dataset.read.source_files import DatasetPaths


class DatasetWatcher:
    """Remembers the state of the dataset's files. `fingerprint` may take long and is called in a thread."""

    def __init__(self, interval_seconds: float, fingerprint: Callable[[DatasetPaths], str]) -> None:
        self.interval_seconds = interval_seconds
        self._fingerprint = fingerprint
        self._lock = Lock()
        self._path: DatasetPaths | None = None
        self._baseline = ""
        self._last_fingerprint = ""

    def set_baseline(self, path: DatasetPaths) -> None:
        """Remember the files as they are now: the dataset is about to be built from them. Call it in a thread.

        Before the build and not after it, so that a change during the build is noticed.
        """
        fingerprint = self._fingerprint(path)
        with self._lock:
            self._path, self._baseline, self._last_fingerprint = path, fingerprint, fingerprint

    async def has_changed(self) -> bool:
        """Whether the files differ and have not changed since the last call. Each change is reported once."""
        path = self._path
        if path is None:
            return False
        fingerprint = await asyncio.to_thread(self._fingerprint, path)
        with self._lock:
            if path != self._path:  # another dataset was begun meanwhile
                return False
            settled, self._last_fingerprint = fingerprint == self._last_fingerprint, fingerprint
            if not settled or fingerprint == self._baseline:
                return False
            self._baseline = fingerprint
            return True
