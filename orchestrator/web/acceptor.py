"""Accepts connections up to a limit, so that file descriptors remain for the database and the providers."""

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

# Theory of operation. asyncio's own server accepts as many connections as its backlog before any of them is handled,
# repeats a failed accept for each of them, and logs every failure with a traceback. Here the number of open
# connections is checked at each accept. When the limit is reached, connections without a complete request are closed,
# the oldest first: a client that sends its request at once is served, however many others send only half of theirs.
# When an accept fails (usually EMFILE: no file descriptor is left), the acceptor closes some connections and pauses:
# the listening socket stays readable, so without the pause the event loop would do nothing but fail.

BACKLOG: Final = 1024  # connections that wait in the kernel, which has a limit of its own
ACCEPT_BATCH_SIZE: Final = (
    32  # accepted in a row; the limit may be exceeded by this number until evicted sockets are closed
)
ACCEPT_RETRY_SECONDS: Final = 0.5  # pause after a failed accept
EVICTION_STALL_SECONDS: Final = 5.0  # at the limit, a response the client has not read for this long is evicted

EVICTED: Final = "closed_for_newer"
REFUSED: Final = "refused"
TOO_SLOW: Final = "too_slow"


class Acceptor:
    """Listens from `start` to `close`. Reports the number of refused and evicted connections and failed accepts."""

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
        """Start to accept connections."""
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
        """Wait until the connections accepted last have their protocol."""
        await asyncio.gather(*self._opening_tasks)

    def close_overdue(self) -> None:
        """Close the connections of clients that are too slow. The server calls it about once a second."""
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
            except OSError as error:  # usually EMFILE: the process or the machine has no file descriptor left
                self._pause(error)
                return
            self._admit(accepted)

    def _pause(self, error: OSError) -> None:
        """Close some connections and accept again after ACCEPT_RETRY_SECONDS."""
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
        except OSError:  # the client has disconnected
            accepted.close()

    def _count_connections(self) -> int:
        return len(self._opening_tasks) + len(self._connections)

    def _evict(self) -> None:
        """Close a twentieth of the connections, starting with those that have waited longest for their client.

        Several at a time, because each search visits every connection.
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
            self._connections.discard(connection)  # its descriptor is free in the next iteration of the event loop
        if chosen:
            self._reporter.add(EVICTED, len(chosen))
