"""Moderates the chats of all current runs, with one worker for each run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial

from orchestrator.core.errors import DatasetError
from orchestrator.core.jobs.run import Run
from orchestrator.daemon.moderation_worker import ModerationProgressCallback, ModerationWorker
from orchestrator.planning.desired_state import DesiredState

CreateWorker = Callable[[asyncio.Lock], ModerationWorker]
"""Creates the worker of one run. The lock is held by the worker that judges texts."""


class ModerationPool:
    """Has one moderation worker for each run, by the run's name.

    The workers take turns: the limit of moderated tokens per minute belongs to the accounts, which the runs share,
    and verdicts on texts that several runs contain are stored before the next run needs them.
    """

    def __init__(self, create_worker: CreateWorker) -> None:
        self.on_progress: ModerationProgressCallback | None = None
        """Called with the number of judged texts and of all texts of the runs that are being moderated."""
        self.on_passed: Callable[[], None] = _do_nothing
        """Called when jobs may continue."""
        self._create_worker = create_worker
        self._turn = asyncio.Lock()
        self._workers: dict[str, ModerationWorker] = {}
        self._removed_workers: list[ModerationWorker] = []  # `stop` waits for them
        self._progress: dict[str, tuple[int, int]] = {}

    def request(self, desired: DesiredState, run: Run) -> None:
        """Moderate the run now if its moderation is open. Cancels the moderation of a previous version of the run."""
        if run.name not in self._workers:
            worker = self._create_worker(self._turn)
            worker.on_passed = self._report_passed
            worker.on_progress = partial(self._report_progress, run.name)
            self._workers[run.name] = worker
        self._workers[run.name].request(desired, run)

    def retain(self, runs: Collection[str]) -> None:
        """Cancel the moderation of all runs except these."""
        for name in [name for name in self._workers if name not in runs]:
            worker = self._workers.pop(name)
            worker.cancel()
            self._progress.pop(name, None)
            self._removed_workers.append(worker)

    @property
    def size(self) -> int:
        """Number of runs that were requested."""
        return len(self._workers)

    @property
    def flagged_errors(self) -> Mapping[str, DatasetError]:
        """The flagged texts of each run that has some, by the name of the run."""
        return {name: worker.flagged_error for name, worker in self._workers.items() if worker.flagged_error}

    async def wait(self) -> None:
        """Wait until the moderation of every run is finished or needs an operator."""
        await asyncio.gather(*[worker.wait() for worker in self._workers.values()])

    async def stop(self) -> None:
        """Cancel all moderations and wait until they have ended. The verdicts so far are stored."""
        await asyncio.gather(*[worker.stop() for worker in (*self._workers.values(), *self._removed_workers)])

    def _report_passed(self) -> None:
        self.on_passed()

    def _report_progress(self, run: str, done: int, total: int) -> None:
        self._progress[run] = (done, total)
        if self.on_progress is not None:
            judged, all_texts = zip(*self._progress.values(), strict=True)
            self.on_progress(sum(judged), sum(all_texts))


def _do_nothing() -> None:
    pass
