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
from orchestrator.providers.http.certificates import find_issuer
from orchestrator.providers.http.http_client import (
    CONNECT_TIMEOUT_SECONDS,
    READ_TIMEOUT_SECONDS,
    DeadlinePassed,
    HttpResponse,
    NetworkConfig,
    check_deadline,
    is_write_call,
)
from orchestrator.providers.http.transport_errors import (
    MAX_RESPONSE_BYTES,
    ConnectionFailed,
    ResponseTooLarge,
    httpx_error_from_aiohttp,
)

IDLE_CONNECTION_SECONDS: Final = 4.0  # an idle connection is not used after this: many servers close it after five
NO_REUSE_SECONDS: Final = 600.0  # for so long no connection is used twice at a server that closed one under a call
TOTAL_CONNECTIONS_FACTOR: Final = 4  # so that one slow server cannot take the connections of all others
READ_TIMEOUT: Final = aiohttp.ClientTimeout(
    total=None, connect=READ_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=READ_TIMEOUT_SECONDS
)
# Headers of an answer that no longer describe its content once it is decompressed and whole.
TRANSFER_HEADERS: Final = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
CONNECTION_LOST_ERRORS: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)

Origin = tuple[str, str | None, int | None]


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """At most `connections` connections at once to one server. Answers are read whole, up to `MAX_RESPONSE_BYTES`.

    A call that costs or creates something never waits on a connection that served before: the server may be closing
    it at that moment, and the answer would be lost.
    """

    def __init__(self, max_connections: int, network: NetworkConfig) -> None:
        self._network = network
        self._pooled_session = _create_session(
            max_connections, network.ssl_context, keepalive_timeout=IDLE_CONNECTION_SECONDS
        )
        self._unpooled_session = _create_session(max_connections, network.ssl_context, force_close=True)
        self._proxies: dict[Origin, Proxy | None] = {}
        self._no_reuse_until: dict[Origin, float] = {}  # until when, on the loop's clock
        self._issuers: dict[Origin, str | None] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        timeout = request.extensions.get("timeout", {})
        answer, content = await self._exchange(
            request.method,
            URL(str(request.url), encoded=True),
            CIMultiDict([(name.decode(), value.decode()) for name, value in request.headers.raw]),
            _build_timeouts(timeout),
            timeout.get("read"),
            request,
        )
        headers = [(name, value) for name, value in answer.raw_headers if name.lower() not in TRANSFER_HEADERS]
        return httpx2.Response(answer.status, headers=headers, content=content, request=request)

    async def get(self, url: str, headers: Mapping[str, str]) -> HttpResponse:
        """A GET without httpx2's request and response."""
        answer, content = await self._exchange(
            "GET", URL(url, encoded=True), headers, READ_TIMEOUT, READ_TIMEOUT_SECONDS
        )
        return HttpResponse(answer.status, answer.headers, content)

    async def aclose(self) -> None:
        await self._pooled_session.close()
        await self._unpooled_session.close()

    async def _exchange(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        timeouts: aiohttp.ClientTimeout,
        response_seconds: float | None,
        request: httpx2.Request | None = None,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """One request and its whole answer. Every failure of aiohttp leaves as one of httpx2."""
        proxy = self._find_proxy(url)
        way = _build_request_options(url, headers, proxy)
        pooled = not (is_write_call() or self._avoids_reuse(url))
        try:
            try:
                return await self._send(
                    self._pooled_session if pooled else self._unpooled_session,
                    method,
                    url,
                    timeouts,
                    response_seconds,
                    request,
                    way,
                )
            except CONNECTION_LOST_ERRORS as error:
                if not pooled or isinstance(error, aiohttp.ClientConnectorError):
                    raise
                self._no_reuse_until[_origin(url)] = asyncio.get_running_loop().time() + NO_REUSE_SECONDS
                if method != "GET":
                    raise
                return await self._send(self._unpooled_session, method, url, timeouts, response_seconds, request, way)
        except httpx2.TransportError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise httpx_error_from_aiohttp(error, proxy, await self._find_issuer(error, url, proxy)) from error

    async def _send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        timeouts: aiohttp.ClientTimeout,
        response_seconds: float | None,
        request: httpx2.Request | None,
        request_options: dict[str, Any],
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        async with (
            _limit_response_time(response_seconds) as limit,
            session.request(
                method,
                url,
                data=_build_body(request, limit),
                allow_redirects=False,
                timeout=timeouts,
                **request_options,
            ) as answer,
        ):
            return answer, await _read_content(answer)

    def _find_proxy(self, url: URL) -> Proxy | None:
        origin = _origin(url)
        if origin not in self._proxies:
            try:
                self._proxies[origin] = self._network.proxies.find(str(url.origin()))
            except (ConfigError, ValueError) as error:
                raise httpx2.UnsupportedProtocol(str(error)) from error
        return self._proxies[origin]

    def _avoids_reuse(self, url: URL) -> bool:
        """Whether the server closes connections so soon that none is used twice."""
        until = self._no_reuse_until.get(_origin(url)) if self._no_reuse_until else None
        return until is not None and asyncio.get_running_loop().time() < until

    async def _find_issuer(self, error: Exception, url: URL, proxy: Proxy | None) -> str | None:
        """Who signed the certificate that was refused: asked once, on a connection over which nothing is sent."""
        if not isinstance(error, aiohttp.ClientConnectorCertificateError):
            return None
        origin = _origin(url)
        if origin not in self._issuers:
            self._issuers[origin] = await _fetch_issuer(url, proxy)
        return self._issuers[origin]


class _DeadlineRequest(aiohttp.ClientRequest):
    """Looks at the deadline when the connection is there, and again when the body is about to leave.

    Both: a process may be frozen between the two, and a provider acts when it has the last byte.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        check_deadline()
        if not self.is_ssl() and self.proxy is None:
            _check_peer_is_private(conn)
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


class _CertificateReceived(Exception):
    """The certificate that a server presented."""

    def __init__(self, certificate: bytes) -> None:
        super().__init__()
        self.certificate = certificate


class _CertificateProbe(aiohttp.ClientRequest):
    """Looks at the server's certificate and sends nothing."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        tls = conn.transport.get_extra_info("ssl_object") if conn.transport else None
        raise _CertificateReceived(tls.getpeercert(binary_form=True) if tls else b"")


class _ResponseTimer:
    """The time limit of one answer. It does not run while a long body is still being sent."""

    def __init__(self, limit: asyncio.Timeout, seconds: float | None) -> None:
        self._timeout = limit
        self._seconds = seconds

    def start(self) -> None:
        """Start the time: all of the request has been handed over."""
        if self._seconds is not None:
            with suppress(RuntimeError):  # the answer was there before the end of the request, and is being handled
                self._timeout.reschedule(asyncio.get_running_loop().time() + self._seconds)


@asynccontextmanager
async def _limit_response_time(seconds: float | None) -> AsyncIterator[_ResponseTimer]:
    """Limit the time until the answer is complete. The socket's own timeout starts again with every byte.

    None: the caller has a limit of its own.
    """
    limit = asyncio.timeout(None)
    try:
        async with limit:
            yield _ResponseTimer(limit, seconds)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise httpx2.ReadTimeout(f"the answer was not complete after {seconds:g} s") from error


def _check_peer_is_private(conn: Connection) -> None:
    """Raise when a key would go unencrypted to an address outside of private networks, whatever its name is."""
    peer = conn.transport.get_extra_info("peername") if conn.transport else None
    if peer and ip_address(peer[0].partition("%")[0]).is_global:
        raise ConnectionFailed(
            f"{peer[0]} is a public address, where http:// would send the key unencrypted",
            "Use https:// in `base_url`; http:// is for private networks.",
        )


async def _read_content(answer: aiohttp.ClientResponse) -> bytes:
    """Read the answer in parts: aiohttp decompresses only as much as is taken, so that memory stays bounded."""
    parts, size = [], 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > MAX_RESPONSE_BYTES:
            answer.close()
            raise ResponseTooLarge
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _create_session(max_connections: int, context: ssl.SSLContext, **options: Any) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=max_connections * TOTAL_CONNECTIONS_FACTOR, limit_per_host=max_connections, ssl=context, **options
    )
    session = aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), request_class=_DeadlineRequest
    )
    session._retry_connection = False  # its own repetition would hide from us that a connection was lost
    return session


def _origin(url: URL) -> Origin:
    return url.scheme, url.raw_host, url.port


def _build_request_options(url: URL, headers: Mapping[str, str], proxy: Proxy | None) -> dict[str, Any]:
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


async def _fetch_issuer(url: URL, proxy: Proxy | None) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # it is read, not trusted: `_Probe` sends nothing
    try:
        async with (
            asyncio.timeout(CONNECT_TIMEOUT_SECONDS),
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, force_close=True), request_class=_CertificateProbe
            ) as session,
            session.get(url, **_build_request_options(url, {}, proxy)),
        ):
            return None
    except _CertificateReceived as presented:
        return find_issuer(presented.certificate)
    except (aiohttp.ClientError, OSError):
        return None


def _build_body(request: httpx2.Request | None, timer: _ResponseTimer) -> Any:
    """The bytes, or where there are many of them, the stream."""
    try:
        content = request.content if request else b""
    except httpx2.RequestNotRead:
        assert request is not None
        assert isinstance(request.stream, AsyncIterable)
        return _stream_body(request.stream, timer)
    timer.start()
    return content or None


async def _stream_body(body: AsyncIterable[bytes], timer: _ResponseTimer) -> AsyncIterator[bytes]:
    """The body; the time for the answer starts at its end."""
    async for part in body:
        yield part
    timer.start()


def _build_timeouts(seconds: dict[str, float | None]) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None, connect=seconds.get("pool"), sock_connect=seconds.get("connect"), sock_read=seconds.get("read")
    )
