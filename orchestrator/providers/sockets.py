"""Sockets: httpx2's requests over aiohttp's connections, at a third of the CPU of httpx2's own.

How it works. Measured with fifty calls at once; see `benchmarks/README.md`. Nothing that creates is sent twice:
aiohttp repeats only reads, and only on a connection that turned out to be closed. Whatever a server does, one call is
bounded: its answer in bytes (counted after decompression, because a small body may unfold into gigabytes), its time
from the last byte sent to the last byte received, and its server's share of the connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import aiohttp
import httpx2
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from orchestrator.providers.transport import (
    CONNECT_SECONDS,
    READ_SECONDS,
    Answer,
    DeadlinePassed,
    check_deadline,
)
from orchestrator.providers.transport_errors import MAX_ANSWER_BYTES, AnswerTooLarge, translate

KEEP_SECONDS: Final = 5.0  # an idle connection is not used after this: a server may be closing it
TOTAL_CONNECTIONS_FACTOR: Final = 4  # so that one slow server cannot take the connections of all others
READ_TIMEOUT: Final = aiohttp.ClientTimeout(
    total=None, connect=READ_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS
)
# Headers of an answer that no longer describe its content once it is decompressed and whole.
WIRE_HEADERS: Final = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


class Sockets(httpx2.AsyncBaseTransport):
    """At most `connections` connections at once to one server. Answers are read whole, up to `MAX_ANSWER_BYTES`."""

    def __init__(self, connections: int) -> None:
        connector = aiohttp.TCPConnector(
            limit=connections * TOTAL_CONNECTIONS_FACTOR,
            limit_per_host=connections,
            keepalive_timeout=KEEP_SECONDS,
            ssl=httpx2.create_ssl_context(),
        )
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), request_class=_Request
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        timeout = request.extensions.get("timeout", {})
        with _translated():
            async with (
                _answer_time(timeout.get("read")) as limit,
                self._session.request(
                    request.method,
                    URL(str(request.url), encoded=True),
                    headers=_headers(CIMultiDict([(n.decode(), v.decode()) for n, v in request.headers.raw])),
                    data=_body(request, limit),
                    allow_redirects=False,
                    timeout=_timeout(timeout),
                ) as answer,
            ):
                content = await _content(answer)
        headers = [(name, value) for name, value in answer.raw_headers if name.lower() not in WIRE_HEADERS]
        return httpx2.Response(answer.status, headers=headers, content=content, request=request)

    async def read(self, url: str, headers: Mapping[str, str]) -> Answer:
        """A GET without httpx2's request and response."""
        with _translated():
            async with _answer_time(READ_SECONDS) as limit:
                limit.start()
                async with self._session.get(
                    URL(url, encoded=True), headers=_headers(headers), allow_redirects=False, timeout=READ_TIMEOUT
                ) as answer:
                    return Answer(answer.status, answer.headers, await _content(answer))

    async def aclose(self) -> None:
        await self._session.close()


class _Request(aiohttp.ClientRequest):
    """Looks at the deadline when the connection is there, and again when the body is about to leave.

    Both: a process may be frozen between the two, and a provider acts when it has the last byte.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        check_deadline()
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        try:
            check_deadline()
        except DeadlinePassed as error:  # this is a task of its own: whoever waits for the answer is told
            assert conn.protocol is not None
            conn.protocol.set_exception(error)
        else:
            await super().write_bytes(writer, conn, content_length)


class _AnswerTime:
    """The time limit of one answer. It does not run while a long body is still being sent."""

    def __init__(self, limit: asyncio.Timeout, seconds: float | None) -> None:
        self._limit = limit
        self._seconds = seconds

    def start(self) -> None:
        """Start the time: all of the request has been handed over."""
        if self._seconds is not None:
            with suppress(RuntimeError):  # the answer was there before the end of the request, and is being handled
                self._limit.reschedule(asyncio.get_running_loop().time() + self._seconds)


@asynccontextmanager
async def _answer_time(seconds: float | None) -> AsyncIterator[_AnswerTime]:
    """Limit the time until the answer is complete. The socket's own timeout starts again with every byte.

    None: the caller has a limit of its own.
    """
    limit = asyncio.timeout(None)
    try:
        async with limit:
            yield _AnswerTime(limit, seconds)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise httpx2.ReadTimeout(f"the answer was not complete after {seconds:g} s") from error


@contextmanager
def _translated() -> Iterator[None]:
    """Every failure of aiohttp as one of httpx2."""
    try:
        yield
    except httpx2.TransportError:
        raise
    except (aiohttp.ClientError, OSError) as error:
        raise translate(error) from error


async def _content(answer: aiohttp.ClientResponse) -> bytes:
    """Read the answer in parts: aiohttp decompresses only as much as is taken, so that memory stays bounded."""
    parts, size = [], 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            answer.close()
            raise AnswerTooLarge
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _headers(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers to send. Compressed answers are not asked for: they save little here and cost CPU."""
    made = CIMultiDict(headers)
    made["Accept-Encoding"] = "identity"
    return made


def _body(request: httpx2.Request, limit: _AnswerTime) -> Any:
    """The bytes, or where there are many of them, the stream."""
    try:
        content = request.content
    except httpx2.RequestNotRead:
        assert isinstance(request.stream, AsyncIterable)
        return _timed(request.stream, limit)
    limit.start()
    return content or None


async def _timed(body: AsyncIterable[bytes], limit: _AnswerTime) -> AsyncIterator[bytes]:
    """The body; the time for the answer starts at its end."""
    async for part in body:
        yield part
    limit.start()


def _timeout(seconds: dict[str, float | None]) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None, connect=seconds.get("pool"), sock_connect=seconds.get("connect"), sock_read=seconds.get("read")
    )
