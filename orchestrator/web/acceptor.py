"""Acceptor: accepts connections up to a limit, so that file descriptors remain for everything else.

asyncio's own server accepts as many connections as its backlog before any of them is handled, repeats a failed accept
for each of them, and logs every failure with a traceback. Here the number of open connections is checked at each
accept. When all places are taken, connections without a complete request are closed, the oldest first: a client that
sends its request at once gets through, however many others send only half of theirs.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from heapq import nsmallest
from http import HTTPStatus
from typing import Final

from orchestrator.web.limited_protocol import ConnectionLimits, ConnectionPhase, LimitedProtocol, build_error_response
from orchestrator.web.rate_limited_reporter import RateLimitedReporter

BACKLOG: Final = 1024  # connections that wait in the kernel; the kernel itself has a limit, too
ACCEPT_BATCH_SIZE: Final = 32  # in a row; by so many the limit may be exceeded until closed sockets are really closed
ACCEPT_RETRY_SECONDS: Final = 0.5  # after a failed accept
EVICTION_STALL_SECONDS: Final = 5.0  # an answer that stands still for so long loses its place when places are short

EVICTED: Final = "closed_for_newer"
REFUSED: Final = "refused"
TOO_SLOW: Final = "too_slow"


class Acceptor:
    """Listens from `start` to `close`. `report` counts what was refused or closed, and failed accepts by errno."""

    def __init__(
        self,
        listener: socket.socket,
        limits: ConnectionLimits,
        connections: set[LimitedProtocol],
        create_protocol: Callable[[], LimitedProtocol],
        reporter: RateLimitedReporter,
    ) -> None:
        self._listener = listener
        self._limits = limits
        self._connections = connections
        self._create_protocol = create_protocol
        self._reporter = reporter
        self._loop = asyncio.get_running_loop()
        self._batch_size = max(1, min(ACCEPT_BATCH_SIZE, limits.max_connections // 4))
        self._opening_tasks: set[asyncio.Task[None]] = set()
        self._resume_timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept."""
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)
        self._resume()

    def close(self) -> None:
        """Stop listening. Open connections stay open."""
        if self._resume_timer:
            self._resume_timer.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    async def wait_closed(self) -> None:
        """Wait for the connections that were accepted last to be handed over."""
        await asyncio.gather(*self._opening_tasks)

    def close_overdue(self) -> None:
        """Close the connections of clients that are too slow. To be called about once a second."""
        now = self._loop.time()
        if overdue := sum(connection.close_if_overdue(now) for connection in tuple(self._connections)):
            self._reporter.add(TOO_SLOW, overdue)

    def _resume(self) -> None:
        self._resume_timer = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(self._batch_size):
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:  # most often EMFILE: this process, or the whole machine, has no descriptor left
                self._pause(error)
                return
            self._admit(accepted)

    def _pause(self, error: OSError) -> None:
        """Free some descriptors and try again later. Without the pause a full process would spin here."""
        self._reporter.add(errno.errorcode.get(error.errno or 0, "OSError"))
        self._evict()
        self._loop.remove_reader(self._listener)
        self._resume_timer = self._loop.call_later(ACCEPT_RETRY_SECONDS, self._resume)

    def _admit(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        if self._count_connections() >= self._limits.max_connections:
            self._evict()
        if self._count_connections() >= self._limits.max_connections:
            self._reporter.add(REFUSED)
            with suppress(OSError):
                accepted.send(build_error_response(HTTPStatus.SERVICE_UNAVAILABLE))
            accepted.close()
            return
        opening = self._loop.create_task(self._open(accepted))
        self._opening_tasks.add(opening)
        opening.add_done_callback(self._opening_tasks.discard)

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._create_protocol, accepted)
        except OSError:  # the client is gone already
            accepted.close()

    def _count_connections(self) -> int:
        return len(self._opening_tasks) + len(self._connections)

    def _evict(self) -> None:
        """Close a twentieth of the connections, those first that wait for their client for longest.

        Several at a time, because looking for them costs as much as the number of connections.
        """
        now = self._loop.time()
        candidates = [
            connection
            for connection in self._connections
            if connection.phase is not ConnectionPhase.ANSWERING or connection.is_stalled(now, EVICTION_STALL_SECONDS)
        ]
        chosen = nsmallest(
            max(1, self._limits.max_connections // 20), candidates, key=lambda each: (each.phase, each.phase_since)
        )
        for connection in chosen:
            connection.transport.abort()
            self._connections.discard(connection)  # its descriptor is free in the loop's next round
        if chosen:
            self._reporter.add(EVICTED, len(chosen))
