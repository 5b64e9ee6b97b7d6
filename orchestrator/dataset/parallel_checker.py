"""Checks the chats of a large dataset in several processes, and returns the results in the order of the dataset."""

# Theory of operation
#
# This process reads the files and cuts them into parts of about PART_BYTES. Each part goes to the next free worker
# process, which checks its chats one by one (`ExampleChecker`) and sends back plain values. The results are used in
# the order of the parts, so that findings and canonical lines are the same as those of a single process.
#
# Memory stays bounded: at most two parts for each worker are in work or waiting for their turn.
#
# Two things depend on the chats before. The method of the first example decides for the others, so the caller has to
# find it out first. And names and near-duplicates are searched in early examples only: a part is told whether one of
# its examples may be early, by the number of examples that had been accepted when the part was sent. That can only
# be too few, so nothing is missing; what is too much is ignored.
#
# Workers are new Python processes and no forks, because a fork copies locks that other threads hold, such as those
# of the progress display. They end with this process, also when it is killed.

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from orchestrator.core.errors import DatasetError
from orchestrator.dataset.example_checker import CheckedChat, ExampleChecker
from orchestrator.dataset.read.reader import SourcePiece, read_piece, split_source
from orchestrator.dataset.read.source_files import SourceFile
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.tokens.counter import TokenCounter
from orchestrator.system.hardening import die_with_parent
from orchestrator.system.memory import default_memory_limit

PART_BYTES: Final = 1 << 20
MIN_BYTES_PER_WORKER: Final = 8 << 20  # starting a process takes as long as checking about this much
MAX_WORKERS: Final = 16  # beyond it this process, which reads and merges, is the slowest
WORKER_MEMORY_BYTES: Final = 256 << 20  # what a worker may need: the tokenizers, a part, and its results

_Part = list[tuple[int, SourcePiece]]
"""Pieces of files, each with the index of its file."""

_checker: ExampleChecker | None = None  # of a worker process


def count_workers(total_bytes: int) -> int:
    """Return how many processes should check so many bytes: 1 if starting others is not worth it."""
    by_memory = default_memory_limit() // WORKER_MEMORY_BYTES
    return max(1, min(_count_cpus(), by_memory, MAX_WORKERS, total_bytes // MIN_BYTES_PER_WORKER))


def check_in_parallel(
    sources: list[SourceFile], rules: DatasetRules, workers: int, is_early: Callable[[], bool]
) -> Iterator[tuple[int, CheckedChat]]:
    """Yield the result of each chat with the index of its file. `is_early`: whether the next example is an early one.

    Raises DatasetError when a worker process is killed.
    """
    pending: deque[Future[list[tuple[int, CheckedChat]]]] = deque()
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (rules,)) as pool:
        try:
            for part in _iter_parts(sources):
                pending.append(pool.submit(_check_part, part, is_early()))
                if len(pending) >= 2 * workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except BrokenProcessPool:
            raise DatasetError(
                "the chats could not be checked: a process that checks a part of them was killed",
                hint="See if the system reports that memory ran out. A file with one chat on each line needs the "
                "least memory.",
            ) from None
        finally:  # also when the caller stops before the end
            pool.shutdown(cancel_futures=True)


def _iter_parts(sources: Iterable[SourceFile]) -> Iterator[_Part]:
    """Yield parts of about PART_BYTES: a piece of a large file, or many small files."""
    part: _Part = []
    size = 0
    for index, source in enumerate(sources):
        for piece in split_source(source, PART_BYTES):
            part.append((index, piece))
            size += piece.size
            if size >= PART_BYTES:
                yield part
                part, size = [], 0
    if part:
        yield part


def _start_worker(rules: DatasetRules) -> None:
    global _checker
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, too, which then ends the workers
    _checker = ExampleChecker(rules, TokenCounter(rules.base_models, rules.tokenizers))


def _check_part(part: _Part, early: bool) -> list[tuple[int, CheckedChat]]:
    assert _checker is not None
    _checker.start_part()
    return [(index, _checker.check(record, early=early)) for index, piece in part for record in read_piece(piece)]


def _count_cpus() -> int:
    """Return the number of processors that this process may use, also in a container with a limit."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cpus = min(cpus, max(1, int(quota) // int(period)))  # ValueError if the quota is "max"
    return cpus
