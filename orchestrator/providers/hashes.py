"""Hashes of files: each computed once and in a thread, however many accounts ask for it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

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
