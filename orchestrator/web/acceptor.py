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

from orchestrator.web.limited_protocol import ConnectionLimits, LimitedProtocol, Phase, error_answer
from orchestrator.web.rate_limited_report import RateLimitedReport

BACKLOG: Final = 1024  # connections that wait in the kernel; the kernel itself has a limit, too
ACCEPT_BATCH: Final = 32  # in a row; by so many the limit may be exceeded until closed sockets are really closed
PAUSE_SECONDS: Final = 0.5  # after a failed accept
STALLED_SECONDS: Final = 5.0  # an answer that stands still for so long loses its place when places are short

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
        report: RateLimitedReport,
    ) -> None:
        self._listener = listener
        self._limits = limits
        self._connections = connections
        self._create_protocol = create_protocol
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._batch = max(1, min(ACCEPT_BATCH, limits.max_connections // 4))
        self._opening: set[asyncio.Task[None]] = set()
        self._paused: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to accept."""
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)
        self._resume()

    def close(self) -> None:
        """Stop listening. Open connections stay open."""
        if self._paused:
            self._paused.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    async def wait_closed(self) -> None:
        """Wait for the connections that were accepted last to be handed over."""
        await asyncio.gather(*self._opening)

    def close_overdue(self) -> None:
        """Close the connections of clients that are too slow. To be called about once a second."""
        now = self._loop.time()
        if overdue := sum(connection.close_if_overdue(now) for connection in tuple(self._connections)):
            self._report.add(TOO_SLOW, overdue)

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(self._batch):
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
        self._report.add(errno.errorcode.get(error.errno or 0, "OSError"))
        self._evict()
        self._loop.remove_reader(self._listener)
        self._paused = self._loop.call_later(PAUSE_SECONDS, self._resume)

    def _admit(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        if self._open_connections() >= self._limits.max_connections:
            self._evict()
        if self._open_connections() >= self._limits.max_connections:
            self._report.add(REFUSED)
            with suppress(OSError):
                accepted.send(error_answer(HTTPStatus.SERVICE_UNAVAILABLE))
            accepted.close()
            return
        opening = self._loop.create_task(self._open(accepted))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._create_protocol, accepted)
        except OSError:  # the client is gone already
            accepted.close()

    def _open_connections(self) -> int:
        return len(self._opening) + len(self._connections)

    def _evict(self) -> None:
        """Close a twentieth of the connections, those first that wait for their client for longest.

        Several at a time, because looking for them costs as much as the number of connections.
        """
        now = self._loop.time()
        candidates = [
            connection
            for connection in self._connections
            if connection.phase is not Phase.ANSWERING or connection.is_stalled(now, STALLED_SECONDS)
        ]
        chosen = nsmallest(
            max(1, self._limits.max_connections // 20), candidates, key=lambda each: (each.phase, each.phase_since)
        )
        for connection in chosen:
            connection.transport.abort()
            self._connections.discard(connection)  # its descriptor is free in the loop's next round
        if chosen:
            self._report.add(EVICTED, len(chosen))
