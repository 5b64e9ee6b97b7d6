"""Writer: group commit. Changes that arrive while a commit runs go together into the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy.exc import DBAPIError

from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.engine import DatabaseEngine
from orchestrator.store.db.wakeups import EnqueueWakeUps, WakeUp
from orchestrator.store.queries.events import EventData, insert_events

MAX_DELAY_SECONDS: Final = 0.05  # seconds; a commit costs the same, whatever is in it

T = TypeVar("T")
K = TypeVar("K")
Change = Callable[[StoreConnection], Awaitable[T]]
BatchChange = Callable[[StoreConnection, Sequence[K]], Awaitable[Sequence[T]]]
"""Makes a change of each key, all in one go, and returns a result for each."""


class _PendingChange(NamedTuple):
    change: BatchChange[Any, Any]
    item: Any
    future: asyncio.Future[Any]


class GroupCommitWriter:
    """Runs changes one after another, as many in one transaction as are waiting; those of the same work in one go.

    The lines they add to the history, and the wake-ups they promise, go into the same transaction, all together.
    A change must touch nothing but its connection: when one of a batch fails, the others are run again without it.
    """

    def __init__(self, engine: DatabaseEngine, enqueue_wake_ups: EnqueueWakeUps | None = None) -> None:
        self._engine = engine
        self._enqueue_wake_ups = enqueue_wake_ups
        self._pending: list[_PendingChange] = []
        self._urgent = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.committed = asyncio.Event()
        """Set at each commit; whoever waits for the next one clears it."""

    async def __call__(self, change: Change[T]) -> T:
        """Return the change's result once it is committed. Cancelling the caller does not take the change back."""
        return await self.submit_batched(_apply_changes, change)

    async def submit_batched(self, change: BatchChange[K, T], item: K, *, deferrable: bool = False) -> T:
        """The same of a change that `work` makes of the key, and of all other keys that wait for it as well.

        A `patient` one makes no commit of its own before `PATIENCE`, but goes along with the next.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.append(_PendingChange(change, item, future))
        if not deferrable:
            self._urgent.set()
        if self._task is None:
            self._task = asyncio.create_task(self._commit_pending(), name="writer")
        return await future

    async def close(self) -> None:
        """Wait for what is pending."""
        while self._task is not None:
            await self._task

    async def _commit_pending(self) -> None:
        try:
            while self._pending:
                with suppress(TimeoutError):
                    async with asyncio.timeout(MAX_DELAY_SECONDS):
                        await self._urgent.wait()
                self._urgent.clear()
                batch, self._pending = self._pending, []
                if not await self._commit_batch(batch):
                    for single in batch:
                        await self._commit_batch([single])
        finally:
            self._task = None

    async def _commit_batch(self, batch: list[_PendingChange]) -> bool:
        begun = False
        try:
            promised: list[WakeUp] = []
            lines: list[EventData] = []
            async with self._engine.write(promised=promised, lines=lines) as connection:
                begun = True
                results = await _run_batch(connection, batch)
                await insert_events(connection, lines)
                if self._enqueue_wake_ups is not None and promised:
                    await self._enqueue_wake_ups(connection, promised)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
            if len(batch) > 1 and begun and not _is_disconnect(error):
                return False
            for pending in batch:
                _resolve(pending.future, error=error)
            return True
        self.committed.set()
        for pending, result in zip(batch, results, strict=True):
            _resolve(pending.future, result=result)
        return True


async def _apply_changes(connection: StoreConnection, changes: Sequence[Change[Any]]) -> list[Any]:
    return [await change(connection) for change in changes]


async def _run_batch(connection: StoreConnection, batch: list[_PendingChange]) -> list[Any]:
    """The batch's results, in its order."""
    places: dict[BatchChange[Any, Any], list[int]] = {}
    for place, pending in enumerate(batch):
        places.setdefault(pending.change, []).append(place)
    results: dict[int, Any] = {}
    for work, its in places.items():
        results |= zip(its, await work(connection, [batch[place].item for place in its]), strict=True)
    return [results[place] for place in range(len(batch))]


def _is_disconnect(error: Exception) -> bool:
    """Whether the database went away, so that there is no point in trying one by one."""
    return isinstance(error, OSError) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def _resolve(future: asyncio.Future[Any], *, result: Any = None, error: Exception | None = None) -> None:
    if future.done():  # the caller was cancelled
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
