"""Detects that the chats of a run have changed, without reading them.

At a regular interval the names, sizes and modification times of the files are compared with those from which the
dataset in force was built. A difference counts only when two comparisons in a row had the same result: a file that is
still being written changes between them. A comparison takes about a second for 100,000 files, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from threading import Lock

from orchestrator.core.structs import Struct
from orchestrator.dataset.read.source_files import DatasetPaths


class _WatchedDataset(Struct):
    """The files of one run's dataset."""

    paths: DatasetPaths
    baseline: str  # the files from which the dataset was built, or that were reported as changed
    last_fingerprint: str  # the files at the last comparison

    def is_changed(self, fingerprint: str) -> bool:
        """Whether the files differ from the baseline and are stable. Each change is reported once."""
        is_stable, self.last_fingerprint = fingerprint == self.last_fingerprint, fingerprint
        if not is_stable or fingerprint == self.baseline:
            return False
        self.baseline = fingerprint
        return True


class DatasetWatcher:
    """Compares the files of each run with its last build. `fingerprint` may take long and is called in a thread."""

    def __init__(self, interval_seconds: float, fingerprint: Callable[[DatasetPaths], str]) -> None:
        self.interval_seconds = interval_seconds
        self._fingerprint = fingerprint
        self._lock = Lock()  # `set_baseline` runs in a thread, `list_changed` on the event loop
        self._by_run: dict[str, _WatchedDataset] = {}

    def set_baseline(self, run: str, paths: DatasetPaths) -> None:
        """Store the state of the files from which the run's dataset is about to be built. Call it in a thread.

        Call it before the build and not after it, so that a change during the build is detected.
        """
        fingerprint = self._fingerprint(paths)
        with self._lock:
            self._by_run[run] = _WatchedDataset(paths, fingerprint, fingerprint)

    def retain(self, runs: Collection[str]) -> None:
        """Watch the datasets of these runs only."""
        with self._lock:
            self._by_run = {name: watched for name, watched in self._by_run.items() if name in runs}

    async def list_changed(self) -> list[str]:
        """Return the names of the runs whose files have changed and are stable. Each change is reported once."""
        with self._lock:
            paths_by_run = {name: watched.paths for name, watched in self._by_run.items()}
        fingerprints: dict[DatasetPaths, str] = {}
        for paths in dict.fromkeys(paths_by_run.values()):  # runs may share their chats
            fingerprints[paths] = await asyncio.to_thread(self._fingerprint, paths)
        with self._lock:
            return [
                name
                for name, paths in paths_by_run.items()
                # The accounts file may have named another folder meanwhile.
                if (watched := self._by_run.get(name)) and watched.paths == paths
                if watched.is_changed(fingerprints[paths])
            ]
