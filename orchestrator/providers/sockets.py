"""Sockets: httpx2's requests over aiohttp's connections, at a third of the CPU of httpx2's own.

Measured with fifty at once; see `benchmarks/README.md`. Nothing that creates is sent twice: aiohttp repeats only
reads, and only on a connection that turned out to be closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

KEEP_SECONDS: Final = 5.0  # an idle connection is not used after this: a server may be closing it
READ_TIMEOUT: Final = aiohttp.ClientTimeout(
    total=None, connect=READ_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS
)
# The first that fits.
ERRORS: Final[tuple[tuple[type[Exception], type[httpx2.TransportError]], ...]] = (
    (aiohttp.SocketTimeoutError, httpx2.ReadTimeout),
    (aiohttp.ServerTimeoutError, httpx2.ConnectTimeout),
    (TimeoutError, httpx2.PoolTimeout),
    (aiohttp.ClientConnectorError, httpx2.ConnectError),
    (aiohttp.InvalidURL, httpx2.UnsupportedProtocol),
    (aiohttp.ClientOSError, httpx2.ReadError),
    (aiohttp.ClientError, httpx2.RemoteProtocolError),
    (OSError, httpx2.ReadError),
)


class Sockets(httpx2.AsyncBaseTransport):
    """At most so many connections at once, whoever they lead to. Answers are read whole."""

    def __init__(self, connections: int) -> None:
        connector = aiohttp.TCPConnector(
            limit=connections, keepalive_timeout=KEEP_SECONDS, ssl=httpx2.create_ssl_context()
        )
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), request_class=_Request, auto_decompress=False
        )
        self._reading = aiohttp.ClientSession(
            connector=connector, connector_owner=False, cookie_jar=aiohttp.DummyCookieJar(), request_class=_Request
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        with _translated():
            async with self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=CIMultiDict([(name.decode(), value.decode()) for name, value in request.headers.raw]),
                data=_body(request),
                allow_redirects=False,
                timeout=_timeout(request.extensions.get("timeout", {})),
            ) as answer:
                content = await answer.read()
        return httpx2.Response(answer.status, headers=answer.raw_headers, content=content, request=request)

    async def read(self, url: str, headers: Mapping[str, str]) -> Answer:
        """A GET without httpx2's request and response."""
        with _translated():
            async with self._reading.get(
                URL(url, encoded=True), headers=headers, allow_redirects=False, timeout=READ_TIMEOUT
            ) as answer:
                return Answer(answer.status, answer.headers, await answer.read())

    async def aclose(self) -> None:
        await self._reading.close()
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


@contextmanager
def _translated() -> Iterator[None]:
    """Every failure of aiohttp as one of httpx2."""
    try:
        yield
    except httpx2.TransportError:
        raise
    except (aiohttp.ClientError, OSError) as error:
        known = next(ours for theirs, ours in ERRORS if isinstance(error, theirs))
        raise known(str(error) or type(error).__name__) from error


def _body(request: httpx2.Request) -> Any:
    """The bytes, or where there are many of them, the stream."""
    try:
        return request.content or None
    except httpx2.RequestNotRead:
        return request.stream


def _timeout(seconds: dict[str, float | None]) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None, connect=seconds.get("pool"), sock_connect=seconds.get("connect"), sock_read=seconds.get("read")
    )
