"""Sockets: httpx2's requests over aiohttp's connections, at a third of the CPU of httpx2's own.

How it works. Measured with fifty calls at once; see `benchmarks/README.md`. Nothing that creates is sent twice:
only reads are repeated, once, after a connection ended under them; from then on no connection to that server is used
twice for a while. Whatever a server does, one call is
bounded: its answer in bytes (counted after decompression, because a small body may unfold into gigabytes), its time
from the last byte sent to the last byte received, and its server's share of the connections.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import Any, Final

import aiohttp
import httpx2
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from orchestrator.core.errors import ConfigError
from orchestrator.core.proxy import Proxy
from orchestrator.providers.certificates import issuer_of
from orchestrator.providers.transport import (
    CONNECT_SECONDS,
    READ_SECONDS,
    Answer,
    DeadlinePassed,
    Network,
    check_deadline,
    is_creating,
)
from orchestrator.providers.transport_errors import MAX_ANSWER_BYTES, AnswerTooLarge, NeverConnected, translate

KEEP_SECONDS: Final = 4.0  # an idle connection is not used after this: many servers close it after five
SHUN_SECONDS: Final = 600.0  # for so long no connection is used twice at a server that closed one under a call
TOTAL_CONNECTIONS_FACTOR: Final = 4  # so that one slow server cannot take the connections of all others
READ_TIMEOUT: Final = aiohttp.ClientTimeout(
    total=None, connect=READ_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS
)
# Headers of an answer that no longer describe its content once it is decompressed and whole.
WIRE_HEADERS: Final = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
LOST: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)

Origin = tuple[str, str | None, int | None]


class Sockets(httpx2.AsyncBaseTransport):
    """At most `connections` connections at once to one server. Answers are read whole, up to `MAX_ANSWER_BYTES`.

    A call that costs or creates something never waits on a connection that served before: the server may be closing
    it at that moment, and the answer would be lost.
    """

    def __init__(self, connections: int, network: Network) -> None:
        self._network = network
        self._pool = _session(connections, network.context, keepalive_timeout=KEEP_SECONDS)
        self._fresh = _session(connections, network.context, force_close=True)
        self._proxies: dict[Origin, Proxy | None] = {}
        self._shunned: dict[Origin, float] = {}  # until when, on the loop's clock
        self._issuers: dict[Origin, str | None] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        timeout = request.extensions.get("timeout", {})
        answer, content = await self._exchange(
            request.method,
            URL(str(request.url), encoded=True),
            CIMultiDict([(name.decode(), value.decode()) for name, value in request.headers.raw]),
            _timeout(timeout),
            timeout.get("read"),
            request,
        )
        headers = [(name, value) for name, value in answer.raw_headers if name.lower() not in WIRE_HEADERS]
        return httpx2.Response(answer.status, headers=headers, content=content, request=request)

    async def read(self, url: str, headers: Mapping[str, str]) -> Answer:
        """A GET without httpx2's request and response."""
        answer, content = await self._exchange("GET", URL(url, encoded=True), headers, READ_TIMEOUT, READ_SECONDS)
        return Answer(answer.status, answer.headers, content)

    async def aclose(self) -> None:
        await self._pool.close()
        await self._fresh.close()

    async def _exchange(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
        seconds: float | None,
        request: httpx2.Request | None = None,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """One request and its whole answer. Every failure of aiohttp leaves as one of httpx2."""
        proxy = self._proxy(url)
        way = _way(url, headers, proxy)
        pooled = not (is_creating() or self._shuns(url))
        try:
            try:
                return await self._send(
                    self._pool if pooled else self._fresh, method, url, limits, seconds, request, way
                )
            except LOST as error:
                if not pooled or isinstance(error, aiohttp.ClientConnectorError):
                    raise
                self._shunned[_origin(url)] = asyncio.get_running_loop().time() + SHUN_SECONDS
                if method != "GET":
                    raise
                return await self._send(self._fresh, method, url, limits, seconds, request, way)
        except httpx2.TransportError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise translate(error, proxy, await self._issuer(error, url, proxy)) from error

    async def _send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        limits: aiohttp.ClientTimeout,
        seconds: float | None,
        request: httpx2.Request | None,
        way: dict[str, Any],
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        async with (
            _answer_time(seconds) as limit,
            session.request(
                method, url, data=_body(request, limit), allow_redirects=False, timeout=limits, **way
            ) as answer,
        ):
            return answer, await _content(answer)

    def _proxy(self, url: URL) -> Proxy | None:
        origin = _origin(url)
        if origin not in self._proxies:
            try:
                self._proxies[origin] = self._network.proxies.find(str(url.origin()))
            except (ConfigError, ValueError) as error:
                raise httpx2.UnsupportedProtocol(str(error)) from error
        return self._proxies[origin]

    def _shuns(self, url: URL) -> bool:
        """Whether the server closes connections so soon that none is used twice."""
        until = self._shunned.get(_origin(url)) if self._shunned else None
        return until is not None and asyncio.get_running_loop().time() < until

    async def _issuer(self, error: Exception, url: URL, proxy: Proxy | None) -> str | None:
        """Who signed the certificate that was refused: asked once, on a connection over which nothing is sent."""
        if not isinstance(error, aiohttp.ClientConnectorCertificateError):
            return None
        origin = _origin(url)
        if origin not in self._issuers:
            self._issuers[origin] = await _ask_issuer(url, proxy)
        return self._issuers[origin]


class _Request(aiohttp.ClientRequest):
    """Looks at the deadline when the connection is there, and again when the body is about to leave.

    Both: a process may be frozen between the two, and a provider acts when it has the last byte.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        check_deadline()
        if not self.is_ssl() and self.proxy is None:
            _check_peer(conn)
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


class _Presented(Exception):
    """The certificate that a server presented."""

    def __init__(self, certificate: bytes) -> None:
        super().__init__()
        self.certificate = certificate


class _Probe(aiohttp.ClientRequest):
    """Looks at the server's certificate and sends nothing."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        tls = conn.transport.get_extra_info("ssl_object") if conn.transport else None
        raise _Presented(tls.getpeercert(binary_form=True) if tls else b"")


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


def _check_peer(conn: Connection) -> None:
    """Raise when a key would go unencrypted to an address outside of private networks, whatever its name is."""
    peer = conn.transport.get_extra_info("peername") if conn.transport else None
    if peer and ip_address(peer[0].partition("%")[0]).is_global:
        raise NeverConnected(
            f"{peer[0]} is a public address, where http:// would send the key unencrypted",
            "Use https:// in `base_url`; http:// is for private networks.",
        )


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


def _session(connections: int, context: ssl.SSLContext, **options: Any) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=connections * TOTAL_CONNECTIONS_FACTOR, limit_per_host=connections, ssl=context, **options
    )
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), request_class=_Request)
    session._retry_connection = False  # its own repetition would hide from us that a connection was lost
    return session


def _origin(url: URL) -> Origin:
    return url.scheme, url.raw_host, url.port


def _way(url: URL, headers: Mapping[str, str], proxy: Proxy | None) -> dict[str, Any]:
    """The headers to send, and the proxy. A proxy's password goes to the proxy: in a tunnel never to the server.

    Compressed answers are not asked for: they save little here and cost CPU.
    """
    made = CIMultiDict(headers)
    made["Accept-Encoding"] = "identity"
    if proxy is None:
        return {"headers": made}
    password = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
    if url.scheme == "https":
        return {"headers": made, "proxy": URL(proxy.url), "proxy_headers": password}
    made.update(password)
    return {"headers": made, "proxy": URL(proxy.url)}


async def _ask_issuer(url: URL, proxy: Proxy | None) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # it is read, not trusted: `_Probe` sends nothing
    try:
        async with (
            asyncio.timeout(CONNECT_SECONDS),
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, force_close=True), request_class=_Probe
            ) as session,
            session.get(url, **_way(url, {}, proxy)),
        ):
            return None
    except _Presented as presented:
        return issuer_of(presented.certificate)
    except (aiohttp.ClientError, OSError):
        return None


def _body(request: httpx2.Request | None, limit: _AnswerTime) -> Any:
    """The bytes, or where there are many of them, the stream."""
    try:
        content = request.content if request else b""
    except httpx2.RequestNotRead:
        assert request is not None
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
