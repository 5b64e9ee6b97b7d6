"""Delivers new events of the history to all event streams of this process with one database query for all of them."""

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

# Theory of operation. While at least one stream is open, one task (`_poll_loop`) reads new events: at once after a
# commit of this process, and every POLL_SECONDS for events that other replicas wrote. It appends them to a bounded
# buffer and wakes all streams. A stream that has kept up is served from the buffer; one that resumes from an older
# id, or is so slow that the buffer no longer reaches back far enough, reads pages from the database. A slow client
# therefore never delays the others and never makes the buffer grow.
#
# `_complete_after_id` is what makes the buffer safe to use: the buffer holds every event with a larger id.
# Polling by id misses no event because the store serialises writers (an advisory lock on PostgreSQL): ids are
# assigned in commit order.

POLL_SECONDS: Final = 1.0  # between two queries for events that other processes wrote
MIN_POLL_SECONDS: Final = 0.1  # between two queries however often this process commits
EVENTS_PER_QUERY: Final = 500
MAX_RECENT_EVENTS: Final = 2000  # buffered for streams that are a little behind


class EventBroadcaster:
    """Polls the event history while any stream is open. A slow stream does not delay the others."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self._recent_events: deque[StoredEvent] = deque(maxlen=MAX_RECENT_EVENTS)
        self._complete_after_id = 0  # the buffer holds every event with a larger id
        self._newest_id = 0
        self._new_events = asyncio.Event()
        self._listener_count = 0
        self._slots_taken = 0
        self._start_lock = asyncio.Lock()
        self._poll_task: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether the maximum number of event streams is reached."""
        return self._slots_taken >= self._backend.max_event_streams

    @contextmanager
    def acquire_slot(self) -> Iterator[None]:
        """Count a stream from its admission on: its first line is sent long before `listen` runs."""
        self._slots_taken += 1
        try:
            yield
        finally:
            self._slots_taken -= 1

    async def listen(self, after: int | None, heartbeat_seconds: float) -> AsyncGenerator[Sequence[StoredEvent]]:
        """Yield events with ids above `after` (None: new events only) as they arrive, in batches.

        Yields an empty batch as a keep-alive after `heartbeat_seconds` without events. Ends when the process shuts
        down.
        """
        async with self._poll_while_listening() as poll_task:
            last_id = self._newest_id if after is None else min(after, self._newest_id)
            while not poll_task.done():
                # Taken before the query: an event that arrives during the query sets this very object.
                new_events = self._new_events
                events = await self._list_events_after(last_id)
                if events:
                    last_id = events[-1].id
                    yield events
                elif not await _wait_for(heartbeat_seconds, new_events):
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

    async def _list_events_after(self, last_id: int) -> Sequence[StoredEvent]:
        if last_id >= self._newest_id:
            return ()
        if last_id >= self._complete_after_id:
            return [event for event in self._recent_events if event.id > last_id]
        return await self._backend.call_with_database(status.list_events_after, last_id, limit=EVENTS_PER_QUERY)

    async def _poll_loop(self) -> None:
        while not self._backend.stopping.is_set():
            if not await self._poll_once():
                await _wait_for(POLL_SECONDS, self._backend.committed)
                self._backend.committed.clear()
                await asyncio.sleep(MIN_POLL_SECONDS)

    async def _poll_once(self) -> bool:
        """Read one page of new events into the buffer; return whether there were any."""
        try:
            events = await self._backend.call_with_database(
                status.list_events_after, self._newest_id, limit=EVENTS_PER_QUERY
            )
        except DatabaseUnavailable:  # the streams stay open and continue once it is back
            return False
        if not events:
            return False
        self._recent_events.extend(events)
        self._newest_id = events[-1].id
        if len(self._recent_events) == MAX_RECENT_EVENTS:
            self._complete_after_id = max(self._complete_after_id, self._recent_events[0].id - 1)
        self._notify_listeners()
        return True

    def _notify_listeners(self, _: object = None) -> None:
        # A new object for the next event: setting and clearing one would let a stream miss it.
        current, self._new_events = self._new_events, asyncio.Event()
        current.set()


async def _wait_for(seconds: float, event: asyncio.Event) -> bool:
    """Wait for the event; return False after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
