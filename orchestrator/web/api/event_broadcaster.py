"""Feed: what happens, as it happens, to everyone who listens. One look at the database serves them all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from orchestrator import status
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.status import StoredEvent
from orchestrator.web.backend import WebBackend

POLL_SECONDS: Final = 1.0  # seconds between two looks for what other processes wrote
MIN_POLL_SECONDS: Final = 0.1  # and for what this one did
EVENTS_PER_QUERY: Final = 500
MAX_RECENT_EVENTS: Final = 2000  # lines that are kept for listeners who are a little behind


class EventBroadcaster:
    """Looks for new lines of the history while anyone listens. A slow listener holds up no other."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self._recent_events: deque[StoredEvent] = deque(maxlen=MAX_RECENT_EVENTS)
        self._complete_after_id = 0  # every line with a larger number is in `_recent`
        self._newest_id = 0
        self._new_events = asyncio.Event()
        self._listener_count = 0
        self._slots_taken = 0
        self._start_lock = asyncio.Lock()
        self._poll_task: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether nobody else can listen."""
        return self._slots_taken >= self._backend.max_event_streams

    @contextmanager
    def acquire_slot(self) -> Iterator[None]:
        """Take a place from the moment of admission: the first line is sent long before `listen` runs."""
        self._slots_taken += 1
        try:
            yield
        finally:
            self._slots_taken -= 1

    async def listen(self, after: int | None, heartbeat_seconds: float) -> AsyncGenerator[Sequence[StoredEvent]]:
        """The lines after that number, or from now on, as they come; nothing for `beat` seconds is told as nothing.

        Ends when the process is asked to end.
        """
        async with self._poll_while_listening() as looking:
            seen = self._newest_id if after is None else min(after, self._newest_id)
            while not looking.done():
                news = self._new_events
                lines = await self._list_events_after(seen)
                if lines:
                    seen = lines[-1].id
                    yield lines
                elif not await _wait_for(heartbeat_seconds, news):
                    yield ()

    @asynccontextmanager
    async def _poll_while_listening(self) -> AsyncIterator[asyncio.Task[None]]:
        self._listener_count += 1
        try:
            async with self._start_lock:
                if self._poll_task is None or self._poll_task.done():
                    self._newest_id = self._complete_after_id = await self._backend.call_with_database(
                        status.get_latest_event_id
                    )
                    self._recent_events.clear()
                    self._poll_task = asyncio.create_task(self._poll_loop(), name="feed")
                    self._poll_task.add_done_callback(self._notify_listeners)
            yield self._poll_task
        finally:
            self._listener_count -= 1
            if not self._listener_count and self._poll_task:
                self._poll_task.cancel()
                self._poll_task = None

    async def _list_events_after(self, seen: int) -> Sequence[StoredEvent]:
        if seen >= self._newest_id:
            return ()
        if seen >= self._complete_after_id:
            return [line for line in self._recent_events if line.id > seen]
        return await self._backend.call_with_database(status.list_events_after, seen, limit=EVENTS_PER_QUERY)

    async def _poll_loop(self) -> None:
        while not self._backend.stopping.is_set():
            if not await self._poll_once():
                await _wait_for(POLL_SECONDS, self._backend.committed)
                self._backend.committed.clear()
                await asyncio.sleep(MIN_POLL_SECONDS)

    async def _poll_once(self) -> bool:
        """Take over a page of what is new; whether there was anything."""
        try:
            lines = await self._backend.call_with_database(
                status.list_events_after, self._newest_id, limit=EVENTS_PER_QUERY
            )
        except DatabaseUnavailable:
            return False
        if not lines:
            return False
        self._recent_events.extend(lines)
        self._newest_id = lines[-1].id
        if len(self._recent_events) == MAX_RECENT_EVENTS:
            self._complete_after_id = max(self._complete_after_id, self._recent_events[0].id - 1)
        self._notify_listeners()
        return True

    def _notify_listeners(self, _: object = None) -> None:
        told, self._new_events = self._new_events, asyncio.Event()
        told.set()


async def _wait_for(seconds: float, event: asyncio.Event) -> bool:
    """Whether it happened in that time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
