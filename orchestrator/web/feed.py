"""Feed: what happens, as it happens, to everyone who listens. One look at the database serves them all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from orchestrator import status
from orchestrator.core.errors import DatabaseAway
from orchestrator.status import Line
from orchestrator.web.program import Program

EVERY: Final = 1.0  # seconds between two looks for what other processes wrote
SHORTEST: Final = 0.1  # and for what this one did
PAGE: Final = 500
KEPT: Final = 2000  # lines that are kept for listeners who are a little behind


class Feed:
    """Looks for new lines of the history while anyone listens. A slow listener holds up no other."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._recent: deque[Line] = deque(maxlen=KEPT)
        self._whole_since = 0  # every line with a larger number is in `_recent`
        self._newest = 0
        self._news = asyncio.Event()
        self._listeners = 0
        self._admitted = 0
        self._starting = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        """Whether nobody else can listen."""
        return self._admitted >= self._program.max_listeners

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Take a place from the moment of admission: the first line is sent long before `listen` runs."""
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def listen(self, after: int | None, beat: float) -> AsyncGenerator[Sequence[Line]]:
        """The lines after that number, or from now on, as they come; nothing for `beat` seconds is told as nothing.

        Ends when the process is asked to end.
        """
        async with self._attending() as looking:
            seen = self._newest if after is None else min(after, self._newest)
            while not looking.done():
                news = self._news
                lines = await self._after(seen)
                if lines:
                    seen = lines[-1].id
                    yield lines
                elif not await _within(beat, news):
                    yield ()

    @asynccontextmanager
    async def _attending(self) -> AsyncIterator[asyncio.Task[None]]:
        self._listeners += 1
        try:
            async with self._starting:
                if self._looking is None or self._looking.done():
                    self._newest = self._whole_since = await self._program.call(status.newest_event)
                    self._recent.clear()
                    self._looking = asyncio.create_task(self._look(), name="feed")
                    self._looking.add_done_callback(self._tell)
            yield self._looking
        finally:
            self._listeners -= 1
            if not self._listeners and self._looking:
                self._looking.cancel()
                self._looking = None

    async def _after(self, seen: int) -> Sequence[Line]:
        if seen >= self._newest:
            return ()
        if seen >= self._whole_since:
            return [line for line in self._recent if line.id > seen]
        return await self._program.call(status.events_after, seen, limit=PAGE)

    async def _look(self) -> None:
        while not self._program.stopping.is_set():
            if not await self._take():
                await _within(EVERY, self._program.committed)
                self._program.committed.clear()
                await asyncio.sleep(SHORTEST)

    async def _take(self) -> bool:
        """Take over a page of what is new; whether there was anything."""
        try:
            lines = await self._program.call(status.events_after, self._newest, limit=PAGE)
        except DatabaseAway:
            return False
        if not lines:
            return False
        self._recent.extend(lines)
        self._newest = lines[-1].id
        if len(self._recent) == KEPT:
            self._whole_since = max(self._whole_since, self._recent[0].id - 1)
        self._tell()
        return True

    def _tell(self, _: object = None) -> None:
        told, self._news = self._news, asyncio.Event()
        told.set()


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Whether it happened in that time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
