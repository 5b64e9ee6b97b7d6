"""Together: calls that arrive while one is under way go together into the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
R = TypeVar("R")


class Batcher(Generic[K, R]):
    """Gathers single keys into calls of `work` with many; each caller gets the result of its whole call."""

    def __init__(self, process_batch: Callable[[Sequence[K]], Awaitable[R]]) -> None:
        self._process_batch = process_batch
        self._waiting: list[tuple[K, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, key: K) -> R:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._process(batch)
        finally:
            self._task = None

    async def _process(self, batch: Sequence[tuple[K, asyncio.Future[R]]]) -> None:
        [result] = await asyncio.gather(self._process_batch([key for key, _ in batch]), return_exceptions=True)
        for _, future in batch:
            if future.done():  # its caller was cancelled
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)


Key = TypeVar("Key", bound=Hashable)


class SingleFlight(Generic[Key]):
    """What `compute` makes of each key. A failure is everybody's who waits for it, and is not remembered."""

    def __init__(self, compute: Callable[[Key], str]) -> None:
        self._compute = compute
        self._tasks: dict[Key, asyncio.Task[str]] = {}

    async def get(self, key: Key) -> str:
        """Whoever is cancelled while waiting takes it from nobody else."""
        if (task := self._tasks.get(key)) is None:
            task = self._tasks[key] = asyncio.create_task(asyncio.to_thread(self._compute, key))
            task.add_done_callback(lambda done: self._forget_failed(key, done))
        return await asyncio.shield(task)

    def _forget_failed(self, key: Key, done: asyncio.Task[str]) -> None:
        if done.cancelled() or done.exception() is not None:
            del self._tasks[key]
