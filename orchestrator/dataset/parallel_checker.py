"""Checks the chats of a dataset in several processes or with a cache. Results are in the order of the dataset."""

# Theory of operation
#
# This process reads the files and cuts them into parts of about PART_BYTES. Each part goes to the next free worker
# process, which checks its chats one by one (`ExampleChecker`) and sends back plain values. The results are used in
# the order of the parts, so that findings and canonical lines are the same as those of a single process.
#
# Memory stays bounded: at most two parts for each worker are in work or waiting for their turn.
#
# With a cache, pieces whose results are known are not checked again. The first pieces that are not known are checked
# in this process: starting workers for a few changed chats would take longer than checking them.
#
# Two things depend on the chats before. The method of the first example decides for the others, so the caller has to
# find it out first. And names and near-duplicates are searched in early examples only: a part is told whether one of
# its examples may be early, by the number of examples that had been accepted when the part was sent. That can only
# be too few, so nothing is missing; what is too much is ignored.
#
# Workers are new Python processes and no forks, because a fork copies locks that other threads hold, such as those
# of the progress display. They end with this process, also when it is killed.
#
# Each worker has a connection of its own, and this process a thread for each, which sends a part and waits for the
# results. A `ProcessPoolExecutor` has one pipe for the results of all workers, and when one is killed while it writes
# (as the system does when memory runs out), nobody closes the pipe, and the reader waits for the rest forever.

from __future__ import annotations

import concurrent.futures  # it loads its thread pools at first use
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, Self

from orchestrator.core.errors import DatasetError
from orchestrator.core.structs import Struct, field
from orchestrator.dataset.cache.check_cache import CheckCache, compute_key
from orchestrator.dataset.example_checker import CheckedChat, ExampleChecker
from orchestrator.dataset.read.reader import SourcePiece, read_piece, split_source
from orchestrator.dataset.read.source_files import SourceFile
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.tokens.counter import TokenCounter
from orchestrator.system.hardening import die_with_parent
from orchestrator.system.memory import default_memory_limit

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PART_BYTES: Final = 1 << 20
MIN_BYTES_PER_WORKER: Final = 8 << 20  # starting a process takes as long as checking about this much
MAX_WORKERS: Final = 16  # beyond it this process, which reads and merges, is the slowest
WORKER_MEMORY_BYTES: Final = 256 << 20  # what a worker may need: the tokenizers, a part, and its results

_NumberedPiece = tuple[int, SourcePiece]
"""A piece of a file, with the index of the file."""

CheckedPart = list[tuple[int, list[CheckedChat]]]
"""The results of each piece, with the index of its file."""

EarlyTest = Callable[[int], bool]
"""Returns whether the example after so many others is an early one. The others have results that are not used yet."""


def count_workers(total_bytes: int) -> int:
    """Return how many processes should check so many bytes: 1 if starting others is not worth it."""
    by_memory = default_memory_limit() // WORKER_MEMORY_BYTES
    return max(1, min(_count_cpus(), by_memory, MAX_WORKERS, total_bytes // MIN_BYTES_PER_WORKER))


def check_in_parallel(
    sources: list[SourceFile],
    checkers: PartCheckers,
    is_early_after: EarlyTest,
    cache: CheckCache | None = None,
) -> Iterator[tuple[int, CheckedChat]]:
    """Yield the result of each chat with the index of its file.

    Raises DatasetError when a worker process that has a part is killed.
    """
    pending: deque[Callable[[], CheckedPart]] = deque()
    with checkers:
        for part in _iter_parts(sources, cache, is_early_after):
            pending.append(_start_part(part, checkers, is_early_after(0), cache))
            while len(pending) >= checkers.max_pending:
                yield from _iter_results(pending.popleft()())
        while pending:
            yield from _iter_results(pending.popleft()())


class _Part(Struct):
    """Pieces of about PART_BYTES together. Either all of them have to be checked, or all of them have results."""

    pieces: list[_NumberedPiece] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)  # of the pieces, in the cache
    results: CheckedPart = field(default_factory=list)
    size: int = 0
    accepted: int = 0  # examples of the results


def _iter_parts(
    sources: Iterable[SourceFile], cache: CheckCache | None, is_early_after: EarlyTest
) -> Iterator[_Part]:
    """Yield the parts of the dataset, in order: a piece of a large file, or many small files."""
    part = _Part()
    for index, source in enumerate(sources):
        for piece in split_source(source, PART_BYTES, by_content=cache is not None):
            key = compute_key(piece) if cache else None
            early = is_early_after(part.accepted)
            chats = cache.find(key, piece, early=early) if cache and key else None
            if part.size >= PART_BYTES or (part.size and bool(part.results) != (chats is not None)):
                yield part
                part = _Part()
            if chats is None:
                part.pieces.append((index, piece))
                part.keys.append(key)
            else:
                part.results.append((index, chats))
                part.accepted += sum(chat.accepted is not None for chat in chats)
            part.size += max(1, piece.size)
    if part.size:
        yield part


def _start_part(
    part: _Part, checkers: PartCheckers, early: bool, cache: CheckCache | None
) -> Callable[[], CheckedPart]:
    """Start to check a part, and return a function that waits for the results."""
    if not part.pieces:
        return lambda: part.results
    wait = checkers.start(part.pieces, part.size, early)
    if cache is None:
        return wait

    def store() -> CheckedPart:
        results = wait()
        for key, (_, piece), (_, chats) in zip(part.keys, part.pieces, results, strict=True):
            if key is not None:
                cache.add(key, piece, chats, early=early)
        return results

    return store


def _iter_results(part: CheckedPart) -> Iterator[tuple[int, CheckedChat]]:
    return ((index, chat) for index, chats in part for chat in chats)


class PartCheckers:
    """Checks parts in this process up to some bytes, then in worker processes."""

    def __init__(
        self,
        rules: DatasetRules,
        counter: TokenCounter,
        workers: int,
        *,
        keeps_texts: bool = True,
        bytes_without_workers: int = 0,
    ) -> None:
        """Prepare the checkers. Worker processes start when they are needed; with one worker there are none."""
        self._rules = rules
        self._keeps_texts = keeps_texts
        self._checker = ExampleChecker(rules, counter, keeps_texts=keeps_texts)
        self._worker_count = workers
        self._bytes_without_workers = bytes_without_workers
        self._workers: list[_Worker] = []
        self._free: SimpleQueue[_Worker] = SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._workers:  # also when the caller stops before the end
            self._threads.shutdown(cancel_futures=True)
            for worker in self._workers:
                worker.close()

    @property
    def max_pending(self) -> int:
        """How many parts may be in work: without workers, results are used before the next part is started."""
        return 2 * self._worker_count if self._workers else 1

    def start(self, pieces: list[_NumberedPiece], size: int, early: bool) -> Callable[[], CheckedPart]:
        """Start to check a part, and return a function that waits for the results."""
        if self._worker_count == 1 or self._bytes_without_workers >= size:
            self._bytes_without_workers -= size
            results = _check_pieces(self._checker, pieces, early)
            return lambda: results
        if not self._workers:
            self._start_workers()
        return self._threads.submit(self._check_in_worker, pieces, early).result

    def _start_workers(self) -> None:
        self._threads = concurrent.futures.ThreadPoolExecutor(self._worker_count, "part-checker")
        for _ in range(self._worker_count):
            self._workers.append(_Worker(self._rules, self._keeps_texts))
            self._free.put(self._workers[-1])

    def _check_in_worker(self, pieces: list[_NumberedPiece], early: bool) -> CheckedPart:
        worker = self._free.get()
        try:
            return worker.check(pieces, early)
        finally:
            self._free.put(worker)


class _Worker:
    """A process that checks parts, one after the other."""

    def __init__(self, rules: DatasetRules, keeps_texts: bool) -> None:
        from multiprocessing import get_context  # lazy: most datasets are small

        context = get_context("spawn")
        self._connection, other_end = context.Pipe()
        # A daemon, so that the program does not wait for it at its end when nobody has closed the checkers.
        self._process = context.Process(target=_serve_parts, args=(other_end, rules, keeps_texts), daemon=True)
        self._process.start()
        other_end.close()  # now only the worker has it, so it is closed when the worker ends

    def check(self, pieces: list[_NumberedPiece], early: bool) -> CheckedPart:
        """Return the results of a part. Raises DatasetError if the process was killed."""
        try:
            self._connection.send((pieces, early))
            outcome: CheckedPart | Exception = self._connection.recv()
        except (EOFError, OSError):
            raise DatasetError(
                "the chats could not be checked: a process that checks a part of them was killed",
                hint="See if the system reports that memory ran out. A file with one chat on each line needs the "
                "least memory.",
            ) from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the process, which waits for a part, and wait for its end."""
        self._connection.close()
        self._process.join()


def _serve_parts(connection: Connection, rules: DatasetRules, keeps_texts: bool) -> None:
    """Check parts in a worker process until the other end of the connection is closed."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, too, which then ends the workers
    checker = ExampleChecker(rules, TokenCounter(rules.base_models, rules.tokenizers), keeps_texts=keeps_texts)
    with suppress(EOFError, ConnectionError):
        while True:
            _serve_part(connection, checker)


def _serve_part(connection: Connection, checker: ExampleChecker) -> None:
    """Receive a part and send its results. A function, so that none of them are kept while the next is checked."""
    pieces, early = connection.recv()
    try:
        outcome: CheckedPart | Exception = _check_pieces(checker, pieces, early)
    except Exception as error:  # noqa: BLE001 - raised to the caller, in the other process
        error.add_note(traceback.format_exc())
        outcome = error.with_traceback(None)
    connection.send(outcome)


def _check_pieces(checker: ExampleChecker, pieces: list[_NumberedPiece], early: bool) -> CheckedPart:
    checker.start_part()
    return [(index, [checker.check(record, early=early) for record in read_piece(piece)]) for index, piece in pieces]


def _count_cpus() -> int:
    """Return the number of processors that this process may use, also in a container with a limit."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cpus = min(cpus, max(1, int(quota) // int(period)))  # ValueError if the quota is "max"
    return cpus
