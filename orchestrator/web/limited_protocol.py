"""uvicorn's HTTP protocol with limits on the duration and size of a request."""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from orchestrator.core.structs import Struct

# Theory of operation. uvicorn waits for the rest of a request without a limit, and httptools accepts headers of any
# size. A client that opens connections and sends half a request on each could therefore use up every file descriptor
# of the process. So each connection tracks which phase it is in, and since when:
#
#     RECEIVING  a request has not arrived completely: headers, body, or nothing at all yet on a new connection
#     IDLE       kept alive by the client between two requests; uvicorn closes it after `timeout_keep_alive`
#     ANSWERING  the application has the request and writes the response, which may be an endless stream
#
# `close_if_overdue` is called once a second for each connection. A response has no time limit, only a limit on the
# time for which the client reads nothing of it. That way event streams and long downloads continue, and a client that
# has stopped reading loses its connection.

MAX_HEADER_BYTES: Final = 65_536
MAX_REQUEST_WIRE_BYTES: Final = 2_200_000
"""Limit of a request with its chunk headers and trailers: rejects a body of 1 MB in chunks of a few bytes each."""
MAX_PIPELINED_REQUESTS: Final = 16  # httptools parses all requests of a packet at once and keeps each in memory


class ConnectionLimits(Struct, frozen=True, kw_only=True):
    """Number of open connections, and how long the server waits for a client."""

    max_connections: int = 1000
    header_seconds: float = 10.0
    """Time limit for the headers of a request."""
    request_seconds: float = 30.0
    """Time limit for the whole request, headers and body."""
    idle_seconds: int = 65
    """Time limit between two requests; longer than the 60 s for which proxies keep a connection."""
    stalled_seconds: float = 120.0
    """Time limit without the client reading any of a response; measured in steps of about 1 MB by the kernel."""


class ConnectionPhase(IntEnum):
    """What a connection is waiting for. At the limit, connections are evicted in this order."""

    RECEIVING = 0
    IDLE = 1
    ANSWERING = 2


class LimitedProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(self, *arguments: Any, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._phase_since = self.loop.time()
        self._has_partial_request = True  # a new connection is expected to send one
        self._wire_bytes = 0
        self._header_bytes = 0
        self._unsent_bytes = 0
        self._last_progress = self._phase_since

    @property
    def phase(self) -> ConnectionPhase:
        """Current phase. As long as the client has not read the whole response, the phase is ANSWERING."""
        if self.pipeline:
            # uvicorn's `cycle` is then the last request that arrived, but an earlier one is still being answered, and
            # nothing more is read until it is. A time limit on the later request would measure this response instead.
            return ConnectionPhase.ANSWERING
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            return ConnectionPhase.RECEIVING if cycle.more_body else ConnectionPhase.ANSWERING
        if self.transport.get_write_buffer_size():
            return ConnectionPhase.ANSWERING
        return ConnectionPhase.RECEIVING if self._has_partial_request else ConnectionPhase.IDLE

    @property
    def phase_since(self) -> float:
        """When the current phase began, on the event loop's clock."""
        return self._phase_since

    def is_stalled(self, now: float, seconds: float) -> bool:
        """Return whether the client has read nothing of the response for that long."""
        return self._unsent_bytes > 0 and now - self._last_progress > seconds

    def close_if_overdue(self, now: float) -> bool:
        """Close the connection if the client is too slow; return whether it was."""
        self._update_progress(now)
        if self.is_stalled(now, self._limits.stalled_seconds):
            self.transport.abort()
            return True
        if self.transport.is_closing() or self.phase is not ConnectionPhase.RECEIVING:
            return False
        answering = self.cycle is not None and not self.cycle.response_complete
        limit = self._limits.request_seconds if answering else self._limits.header_seconds
        if now - self._phase_since <= limit:
            return False
        self._reject(HTTPStatus.REQUEST_TIMEOUT)
        return True

    def _update_progress(self, now: float) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent_bytes:
            self._last_progress = now
        self._unsent_bytes = unsent

    def data_received(self, data: bytes) -> None:
        if not self._has_partial_request:
            self._has_partial_request = True
            if self.phase is not ConnectionPhase.ANSWERING:
                self._phase_since = self.loop.time()
        self._wire_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing() or not self._has_partial_request:
            return
        if self.cycle is None or self.cycle.response_complete:
            # The rest of an answered request is discarded: closing now would lose the response on its way.
            if self._wire_bytes > MAX_HEADER_BYTES and not self._is_draining:
                self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._wire_bytes > MAX_REQUEST_WIRE_BYTES:
            self._reject(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    @property
    def _is_draining(self) -> bool:
        """Whether the response was sent before the request had arrived completely."""
        return self.cycle is not None and self.cycle.response_complete and self.cycle.more_body

    def on_message_begin(self) -> None:
        self._has_partial_request = True
        self._header_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count_header_bytes(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header_bytes(len(name) + len(value))
        if self.cycle is None or self.cycle.scope is not self.scope:
            super().on_header(name, value)
        # else: a trailer after the body. It is dropped: the application has already checked the headers.

    def _count_header_bytes(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError("the headers are too large")  # httptools turns it into a call of `send_400_response`

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED_REQUESTS:
            self.transport.abort()
            raise ValueError("too many requests at once")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._has_partial_request = False
        self._wire_bytes = 0

    def on_response_complete(self) -> None:
        self._phase_since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        too_large = self._header_bytes > MAX_HEADER_BYTES
        self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST)

    def _reject(self, status: HTTPStatus) -> None:
        """Send an error response unless a response has begun, and close the connection."""
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and (self.cycle.response_started or self.phase is ConnectionPhase.ANSWERING or self.pipeline):
            self.transport.abort()  # an error text inside a response would be taken for a part of it
            return
        if self._wire_bytes and not self._is_draining:
            self.transport.write(build_error_response(status))
        self.transport.close()


def build_error_response(status: HTTPStatus) -> bytes:
    """Return a complete HTTP response in plain text, made without the application."""
    text = f"{status.value} {status.phrase}\n".encode()
    head = b"content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\nconnection: close\r\n"
    return STATUS_LINE[status] + head + b"content-length: %d\r\n\r\n" % len(text) + text
