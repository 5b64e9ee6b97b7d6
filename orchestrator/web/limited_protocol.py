"""Limited protocol: uvicorn's HTTP protocol with limits on the time and size of a request.

Theory of operation. uvicorn waits for ever for the rest of a request, and httptools accepts headers of any size. One
client that opens connections and sends half a request in each can therefore use up every file descriptor of the
process. So each connection knows which phase it is in and since when:

    RECEIVING  a request has not arrived completely: headers, body, or nothing at all yet on a new connection
    IDLE       kept alive by the client between two requests; uvicorn closes it after `timeout_keep_alive`
    ANSWERING  the application has the request and writes the answer, which may be a stream without end

`close_if_overdue` is called once a second for each connection. An answer has no time limit, only one for standing
still: a client that does not read any of it. That way streams and long downloads continue.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEADER_BYTES: Final = 65_536
MAX_REQUEST_WIRE_BYTES: Final = 2_200_000
"""A request with its chunk headers and trailers: a body of one megabyte in chunks of a few bytes each is refused."""
MAX_PIPELINED_REQUESTS: Final = 16  # httptools parses all requests of a packet at once and keeps each in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How many connections the server keeps open, and how long it waits for a client."""

    max_connections: int = 1000
    header_seconds: float = 10.0
    request_seconds: float = 30.0
    """For the whole request, headers and body."""
    idle_seconds: int = 65
    """Between two requests; longer than the 60 s for which proxies keep a connection."""
    stalled_seconds: float = 120.0
    """Without one byte of the answer read by the client. The kernel reports progress in steps of about 1 MB."""


class ConnectionPhase(IntEnum):
    """In this order connections are closed when there are too many."""

    RECEIVING = 0
    IDLE = 1
    ANSWERING = 2


class LimitedProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(self, *arguments: Any, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limits = limits
        self._phase_since = self.loop.time()
        self._has_partial_request = True  # a new connection is to send one
        self._wire_bytes = 0
        self._header_bytes = 0
        self._unsent_bytes = 0
        self._last_progress = self._phase_since

    @property
    def phase(self) -> ConnectionPhase:
        """What the connection is waiting for. What the client has not read yet belongs to the answer."""
        if self.pipeline:
            # uvicorn's `cycle` is then the last request that arrived, but an earlier one is still being answered, and
            # nothing more is read until it is. A time limit for the later request would measure our own answer.
            return ConnectionPhase.ANSWERING
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            return ConnectionPhase.RECEIVING if cycle.more_body else ConnectionPhase.ANSWERING
        if self.transport.get_write_buffer_size():
            return ConnectionPhase.ANSWERING
        return ConnectionPhase.RECEIVING if self._has_partial_request else ConnectionPhase.IDLE

    @property
    def phase_since(self) -> float:
        """On the event loop's clock."""
        return self._phase_since

    def is_stalled(self, now: float, seconds: float) -> bool:
        """Whether the client has not read any of the answer for that long."""
        return self._unsent_bytes > 0 and now - self._last_progress > seconds

    def close_if_overdue(self, now: float) -> bool:
        """Close the connection if the client is too slow; whether it was."""
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
            # Of an answered request the rest is dropped for a while: closing now would lose the answer on its way.
            if self._wire_bytes > MAX_HEADER_BYTES and not self._is_draining:
                self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._wire_bytes > MAX_REQUEST_WIRE_BYTES:
            self._reject(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    @property
    def _is_draining(self) -> bool:
        """Whether a request was answered before it had arrived completely."""
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
        # else: a trailer behind the body. It is dropped: the application has read the headers and believes them.

    def _count_header_bytes(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError(
                "the headers are too large"
            )  # httptools hands it on as an error of its own: see `send_400_response`

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
        """Answer with an error if nothing was answered yet, and close the connection."""
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and (self.cycle.response_started or self.phase is ConnectionPhase.ANSWERING or self.pipeline):
            self.transport.abort()  # text in the middle of an answer would be taken for a part of it
            return
        if self._wire_bytes and not self._is_draining:
            self.transport.write(build_error_response(status))
        self.transport.close()


def build_error_response(status: HTTPStatus) -> bytes:
    """A whole answer without the application, in plain text."""
    text = f"{status.value} {status.phrase}\n".encode()
    head = b"content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\nconnection: close\r\n"
    return STATUS_LINE[status] + head + b"content-length: %d\r\n\r\n" % len(text) + text
