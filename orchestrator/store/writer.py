"""Writer: group commit. Changes that arrive while a commit runs go together into the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy.exc import DBAPIError

from orchestrator.store.connection import AsyncConnection
from orchestrator.store.engine import Engine
from orchestrator.store.events import Entry, write
from orchestrator.store.wakeups import Schedule, WakeUp

PATIENCE: Final = 0.05  # seconds; a commit costs the same, whatever is in it

T = TypeVar("T")
K = TypeVar("K")
Change = Callable[[AsyncConnection], Awaitable[T]]
Work = Callable[[AsyncConnection, Sequence[K]], Awaitable[Sequence[T]]]
"""Makes a change of each key, all in one go, and returns a result for each."""


class _Pending(NamedTuple):
    work: Work[Any, Any]
    key: Any
    future: asyncio.Future[Any]


class Writer:
    """Runs changes one after another, as many in one transaction as are waiting; those of the same work in one go.

    The lines they add to the history, and the wake-ups they promise, go into the same transaction, all together.
    A change must touch nothing but its connection: when one of a batch fails, the others are run again without it.
    """

    def __init__(self, engine: Engine, schedule: Schedule | None = None) -> None:
        self._engine = engine
        self._schedule = schedule
        self._pending: list[_Pending] = []
        self._urgent = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.committed = asyncio.Event()
        """Set at each commit; whoever waits for the next one clears it."""

    async def __call__(self, change: Change[T]) -> T:
        """Return the change's result once it is committed. Cancelling the caller does not take the change back."""
        return await self.together(_one_by_one, change)

    async def together(self, work: Work[K, T], key: K, *, patient: bool = False) -> T:
        """The same of a change that `work` makes of the key, and of all other keys that wait for it as well.

        A `patient` one makes no commit of its own before `PATIENCE`, but goes along with the next.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.append(_Pending(work, key, future))
        if not patient:
            self._urgent.set()
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="writer")
        return await future

    async def close(self) -> None:
        """Wait for what is pending."""
        while self._task is not None:
            await self._task

    async def _drain(self) -> None:
        try:
            while self._pending:
                with suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        await self._urgent.wait()
                self._urgent.clear()
                batch, self._pending = self._pending, []
                if not await self._commit(batch):
                    for single in batch:
                        await self._commit([single])
        finally:
            self._task = None

    async def _commit(self, batch: list[_Pending]) -> bool:
        begun = False
        try:
            promised: list[WakeUp] = []
            lines: list[Entry] = []
            async with self._engine.write(promised=promised, lines=lines) as connection:
                begun = True
                results = await _make(connection, batch)
                await write(connection, lines)
                if self._schedule is not None and promised:
                    await self._schedule(connection, promised)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
            if len(batch) > 1 and begun and not _lost(error):
                return False
            for pending in batch:
                _settle(pending.future, error=error)
            return True
        self.committed.set()
        for pending, result in zip(batch, results, strict=True):
            _settle(pending.future, result=result)
        return True


async def _one_by_one(connection: AsyncConnection, changes: Sequence[Change[Any]]) -> list[Any]:
    return [await change(connection) for change in changes]


async def _make(connection: AsyncConnection, batch: list[_Pending]) -> list[Any]:
    """The batch's results, in its order."""
    places: dict[Work[Any, Any], list[int]] = {}
    for place, pending in enumerate(batch):
        places.setdefault(pending.work, []).append(place)
    results: dict[int, Any] = {}
    for work, its in places.items():
        results |= zip(its, await work(connection, [batch[place].key for place in its]), strict=True)
    return [results[place] for place in range(len(batch))]


def _lost(error: Exception) -> bool:
    """Whether the database went away, so that there is no point in trying one by one."""
    return isinstance(error, OSError) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def _settle(future: asyncio.Future[Any], *, result: Any = None, error: Exception | None = None) -> None:
    if future.done():  # the caller was cancelled
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
