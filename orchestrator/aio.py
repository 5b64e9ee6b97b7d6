"""Shares asynchronous work between concurrent callers: `Batcher` by calls with many keys, `SingleFlight` by key."""

# Theory of operation
#
# Ten thousand jobs are often due at the same moment and then need the same thing: a row each, the hash of one file,
# one model of a provider. Both classes let them share work instead of repeating it:
#
#   Batcher       gathers the keys that arrive while a call is running, and makes the next call with all of them
#   SingleFlight  starts one computation for each key; callers that arrive while it runs wait for the same one
#
# What both guarantee, and what would break without it:
#
#   * Cancelling one caller never cancels the shared work, which runs in a task of its own: the others still need it.
#   * A failure is raised to every caller that waits, and is not remembered: the next caller starts again.
#   * No exception is left unretrieved, so that asyncio does not log an error that was handled or that nobody needs.
#   * `close` returns when no work is running any more, so that the caller may close what the work uses.
#
# The group commit (store/db/group_commit.py) is no Batcher although it looks like one: its callers get results of
# their own, only after the commit, and it repeats the members of a failed batch one by one.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class Batcher(Generic[Key, Result]):
    """Gathers keys into calls of `process_batch`. Each caller gets the result of the whole call with its key."""

    def __init__(self, process_batch: Callable[[Sequence[Key]], Awaitable[Result]]) -> None:
        self._process_batch = process_batch
        self._pending: list[tuple[Key, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, key: Key) -> Result:
        """Return the result of the next call: one that is already running may have read before this key was due."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._pending.append((key, future))
        if self._task is None:
            self._task = asyncio.create_task(self._process_pending(), name="batch")
        return await future

    async def close(self) -> None:
        """Wait until every submitted key is processed."""
        while self._task is not None:
            await asyncio.wait({self._task})

    async def _process_pending(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                await self._process(batch)
        finally:
            self._task = None
            for _, future in self._pending:  # only if this task was cancelled: nothing would process them any more
                future.cancel()
            self._pending = []

    async def _process(self, batch: Sequence[tuple[Key, asyncio.Future[Result]]]) -> None:
        waiting = [future for _, future in batch]
        try:
            result = await self._process_batch([key for key, _ in batch])
        except Exception as error:  # noqa: BLE001 - raised to the callers
            for future in waiting:
                if not future.done():  # a future is done when its caller was cancelled
                    future.set_exception(error)
        except asyncio.CancelledError:
            for future in waiting:
                future.cancel()
            raise
        else:
            for future in waiting:
                if not future.done():
                    future.set_result(result)


class StillRunning(Exception):
    """A caller stopped waiting. Not a TimeoutError, which the computation itself may raise."""


class SingleFlight(Generic[Key, Result]):
    """Runs at most one computation for each key at a time.

    With `keep_results` a result is returned to all later callers as well; use it only for a limited number of keys.
    """

    def __init__(self, *, keep_results: bool = False) -> None:
        self._keep_results = keep_results
        self._tasks: dict[Key, asyncio.Task[Result]] = {}

    def is_running(self, key: Key) -> bool:
        """Whether a call of `run` would wait for a computation that has begun already."""
        return key in self._tasks and not self._tasks[key].done()

    async def run(
        self, key: Key, compute: Callable[[], Awaitable[Result]], *, max_wait_seconds: float | None = None
    ) -> Result:
        """Return the result for `key`: that of the running computation, or of a new call of `compute`.

        Raises StillRunning when it takes longer than `max_wait_seconds`; the computation continues.
        """
        if (task := self._tasks.get(key)) is None or self._is_discarded(task):
            task = self._tasks[key] = asyncio.create_task(_call(compute), name=f"compute {key}")
            task.add_done_callback(partial(self._finish, key))
        # Unlike `await task`, this does not cancel the task when this caller is cancelled or stops waiting.
        await asyncio.wait({task}, timeout=max_wait_seconds)
        if not task.done():
            raise StillRunning
        return task.result()

    async def close(self) -> None:
        """Cancel the running computations and wait until they have ended. Their callers are cancelled as well."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _finish(self, key: Key, task: asyncio.Task[Result]) -> None:
        if self._is_discarded(task) and self._tasks.get(key) is task:
            del self._tasks[key]

    def _is_discarded(self, task: asyncio.Task[Result]) -> bool:
        """Return whether the task has ended and later callers do not get its result.

        `run` asks too: `_finish` is called one turn of the event loop after the end, and a caller that comes in
        between may know of a change that the computation has not seen.
        """
        if not task.done():
            return False
        # `exception` also marks the error as retrieved, for the case that every caller was cancelled.
        failed = task.cancelled() or task.exception() is not None
        return failed or not self._keep_results


async def _call(compute: Callable[[], Awaitable[Result]]) -> Result:
    return await compute()
