"""Sends httpx2's requests over aiohttp's connections, at a third of the CPU that httpx2's own transport takes."""

# Theory of operation
#
# One transport serves all accounts of one network route. It has two aiohttp sessions: the pooled one keeps
# connections open for IDLE_CONNECTION_SECONDS, the unpooled one closes each connection after its response.
#
# Exactly one paid request
# ------------------------
# A create call must not reach the provider after its intent has expired, because by then another replica may have
# looked the job up, found nothing, and created it. The process can be stopped at any instruction (a suspended laptop,
# a paused virtual machine, SIGSTOP), and a stopped process does not notice that time passes. So the deadline is
# compared with the boot-time clock, which runs on during suspension, at four places:
#
#   1. `HttpClient` checks before it asks for a connection (client.py).
#   2. `_DeadlineRequest.send` checks when the connection exists: the request may have waited for a free one.
#   3. `_DeadlineRequest.write_bytes` checks when the body is about to leave. aiohttp holds the head of a request back
#      until the body follows, and writes both together; a provider acts on a request when it has the last byte. This
#      is the last of our instructions before the kernel has the request, and why there is a request class of our own.
#   4. `asyncio.timeout` in `write_call` ends the wait for the response. It cannot stop a frozen process: 2 and 3 do.
#
# A streamed upload is checked when its body begins and not at each chunk: a file that arrives late costs nothing, and
# the next attempt finds it by its name.
#
# Nothing that creates is sent twice. aiohttp repeats a request by itself when a kept connection turns out to be
# closed; `_retry_connection = False` switches that off. Reads are repeated here, once. Write calls use the unpooled
# session: a server may close a kept connection at the very moment the request is sent on it, the response is then
# lost, and a lost response to a create costs a look-up and a person's time. After a read has met such a connection,
# that server gets a new connection for each call during NO_REUSE_SECONDS.
#
# Limits
# ------
# Whatever a server does, one call is bounded in three ways:
#   * size: MAX_RESPONSE_BYTES, counted after decompression, because a small body may unfold into gigabytes, and
#     MAX_RESPONSE_VALUES, because a small text may become many objects;
#   * time: `_ResponseTimer` runs from the last byte sent to the last byte received. The socket's own timeout is not
#     enough, since it starts again with every byte; a limit on the whole call would interrupt long uploads;
#   * connections: `max_connections` to one server, TOTAL_CONNECTIONS_FACTOR times as many in all, so that one slow
#     server cannot take the connections of the others.
#
# aiohttp internals
# -----------------
# Used: `ClientRequest.send(conn)` and `ClientRequest.write_bytes(writer, conn, content_length)`, `conn.protocol`,
# `ClientSession._retry_connection`. None of them is documented API. tests/unit/providers/test_aiohttp_internals.py
# fails when a new version of aiohttp changes their shape, and tests/integration/test_sending_deadline.py and
# test_connection_reuse.py when their meaning changes. The measurements are in decision 0002 and benchmarks/README.md.

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
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
from orchestrator.providers.http.deadline import DeadlinePassed, check_deadline, is_write_call
from orchestrator.providers.http.network import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, NetworkConfig
from orchestrator.providers.http.plain_peer import check_plain_peer
from orchestrator.providers.http.response import HttpResponse
from orchestrator.providers.http.transport_errors import (
    MAX_RESPONSE_BYTES,
    ResponseTooLarge,
    check_value_count,
    httpx_error_from_aiohttp,
)

IDLE_CONNECTION_SECONDS: Final = 4.0  # shorter than five seconds, after which many servers close a connection
NO_REUSE_SECONDS: Final = 600.0  # how long connections to a server that closed one under a call are not reused
TOTAL_CONNECTIONS_FACTOR: Final = 4  # times `max_connections`: the limit for all servers together
# `sock_read` ends the wait for one byte, `_ResponseTimer` the wait for the whole response. `connect` includes the
# wait for a free connection of the pool.
READ_TIMEOUT: Final = aiohttp.ClientTimeout(
    total=None, connect=READ_TIMEOUT_SECONDS, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=READ_TIMEOUT_SECONDS
)
# Headers that no longer describe the content once it is decompressed and complete: httpx2 would decompress it again.
TRANSFER_HEADERS: Final = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
CONNECTION_LOST_ERRORS: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)

Origin = tuple[str, str | None, int | None]
"""Scheme, host and port: what a connection belongs to."""


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """Sends requests of httpx2, and direct reads, over one pool of aiohttp connections.

    Responses are read completely before they are returned. Raises subclasses of `httpx2.TransportError` only.
    """

    def __init__(self, max_connections: int, network: NetworkConfig) -> None:
        """`max_connections` is the limit for one server."""
        self._network = network
        self._pooled_session = _create_session(
            max_connections, network.ssl_context, keepalive_timeout=IDLE_CONNECTION_SECONDS
        )
        self._unpooled_session = _create_session(max_connections, network.ssl_context, force_close=True)
        # By origin, because the rules (NO_PROXY) are slow to evaluate and never change within a process.
        self._proxies: dict[Origin, Proxy | None] = {}
        self._no_reuse_until: dict[Origin, float] = {}  # seconds on the event loop's clock
        self._issuers: dict[Origin, str | None] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        timeout = request.extensions.get("timeout", {})
        response, content = await self._exchange(
            request.method,
            URL(str(request.url), encoded=True),
            CIMultiDict([(name.decode(), value.decode()) for name, value in request.headers.raw]),
            _build_timeouts(timeout),
            timeout.get("read"),
            request,
        )
        has_content = request.method != "HEAD"  # whose response has the length of the content that a GET would have
        dropped = TRANSFER_HEADERS if has_content else frozenset[bytes]()
        headers = [(name, value) for name, value in response.raw_headers if name.lower() not in dropped]
        return httpx2.Response(response.status, headers=headers, content=content, request=request)

    async def get(self, url: str, headers: Mapping[str, str]) -> HttpResponse:
        """Send a GET without building httpx2's request and response. `url` is percent-encoded."""
        response, content = await self._exchange(
            "GET", URL(url, encoded=True), headers, READ_TIMEOUT, READ_TIMEOUT_SECONDS
        )
        return HttpResponse(response.status, response.headers, content)

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
        """Send a request, a read at most twice, and read the response. Translates aiohttp's errors to httpx2's."""
        proxy = self._find_proxy(url)
        options = _build_request_options(url, headers, proxy)
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
                    options,
                )
            except CONNECTION_LOST_ERRORS as error:
                # On a new connection the loss is not explained by reuse; a connector error means there was none.
                if not pooled or isinstance(error, aiohttp.ClientConnectorError):
                    raise
                self._no_reuse_until[_origin(url)] = asyncio.get_running_loop().time() + NO_REUSE_SECONDS
                if method != "GET":  # for example a cancel: its first sending may have had its effect
                    raise
                return await self._send(
                    self._unpooled_session, method, url, timeouts, response_seconds, request, options
                )
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
            _limit_response_time(response_seconds) as timer,
            session.request(
                method,
                url,
                data=_build_body(request, timer),
                allow_redirects=False,
                timeout=timeouts,
                **request_options,
            ) as response,
        ):
            return response, await _read_content(response)

    def _find_proxy(self, url: URL) -> Proxy | None:
        origin = _origin(url)
        if origin not in self._proxies:
            try:
                self._proxies[origin] = self._network.proxies.find(str(url.origin()))
            except (ConfigError, ValueError) as error:
                raise httpx2.UnsupportedProtocol(str(error)) from error
        return self._proxies[origin]

    def _avoids_reuse(self, url: URL) -> bool:
        """Return whether the server has lately closed a kept connection under a call."""
        until = self._no_reuse_until.get(_origin(url)) if self._no_reuse_until else None
        return until is not None and asyncio.get_running_loop().time() < until

    async def _find_issuer(self, error: Exception, url: URL, proxy: Proxy | None) -> str | None:
        """Return the issuer of a refused certificate, for the error message. Connects once for each server."""
        if not isinstance(error, aiohttp.ClientConnectorCertificateError):
            return None
        origin = _origin(url)
        if origin not in self._issuers:
            self._issuers[origin] = await _fetch_issuer(url, proxy)
        return self._issuers[origin]


class _DeadlineRequest(aiohttp.ClientRequest):
    """A request that checks the deadline when it has a connection and again when its body is about to leave.

    Both are needed: the process may be frozen between the two. See "Theory of operation", 2 and 3.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        check_deadline()
        if not self.is_ssl() and self.proxy is None:
            # Here, because only the connection knows which address the name led to this time.
            peer = conn.transport.get_extra_info("peername") if conn.transport else None
            check_plain_peer(peer[0] if peer else None, self.url.host or "")
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        try:
            check_deadline()
        except DeadlinePassed as error:
            # aiohttp runs this in a task of its own and would only log the error. Set on the protocol, it is raised
            # in the task that waits for the response. Not even the head is written, which aiohttp still holds.
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
    """A request that reads the server's certificate and sends nothing."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        tls = conn.transport.get_extra_info("ssl_object") if conn.transport else None
        raise _CertificateReceived(tls.getpeercert(binary_form=True) if tls else b"")


class _ResponseTimer:
    """The time limit of one response. It does not run while a long body is still being sent."""

    def __init__(self, timeout: asyncio.Timeout, seconds: float | None) -> None:
        self._timeout = timeout
        self._seconds = seconds

    def start(self) -> None:
        """Start the time: the last byte of the request has been handed over."""
        if self._seconds is not None:
            with suppress(RuntimeError):  # the server responded before the end of the request, and the limit is over
                self._timeout.reschedule(asyncio.get_running_loop().time() + self._seconds)


@asynccontextmanager
async def _limit_response_time(seconds: float | None) -> AsyncIterator[_ResponseTimer]:
    """Raise ReadTimeout when the response is not complete in time. None: the caller has a limit of its own."""
    timeout = asyncio.timeout(None)
    try:
        async with timeout:
            yield _ResponseTimer(timeout, seconds)
    except TimeoutError as error:
        if not timeout.expired():  # another limit, such as the caller's, has ended the call
            raise
        raise httpx2.ReadTimeout(f"the answer was not complete after {seconds:g} s") from error


async def _read_content(response: aiohttp.ClientResponse) -> bytes:
    """Read the body in parts: aiohttp decompresses only as much as is taken, so that memory stays bounded."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_RESPONSE_BYTES:
            response.close()  # not `release`: the rest must not be read to save the connection
            raise ResponseTooLarge
        parts.append(part)
    content = parts[0] if len(parts) == 1 else b"".join(parts)
    check_value_count(content)
    return content


def _create_session(max_connections: int, context: ssl.SSLContext, **options: Any) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=max_connections * TOTAL_CONNECTIONS_FACTOR, limit_per_host=max_connections, ssl=context, **options
    )
    session = aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), request_class=_DeadlineRequest
    )
    # aiohttp repeats requests of idempotent methods by itself. Then `_exchange` would not learn that the server
    # closes kept connections, and a DELETE could be sent twice.
    session._retry_connection = False
    return session


def _origin(url: URL) -> Origin:
    return url.scheme, url.raw_host, url.port


def _build_request_options(url: URL, headers: Mapping[str, str], proxy: Proxy | None) -> dict[str, Any]:
    """Return aiohttp's options for the headers and the proxy of a request."""
    sent_headers = CIMultiDict(headers)
    sent_headers["Accept-Encoding"] = "identity"  # compressed responses save little here and cost CPU
    if proxy is None:
        return {"headers": sent_headers}
    credentials = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
    if url.scheme == "https":  # through a tunnel: the proxy's password must not go to the server inside it
        return {"headers": sent_headers, "proxy": URL(proxy.url), "proxy_headers": credentials}
    sent_headers.update(credentials)
    return {"headers": sent_headers, "proxy": URL(proxy.url)}


async def _fetch_issuer(url: URL, proxy: Proxy | None) -> str | None:
    """Connect to the server and return who signed its certificate; None when that cannot be found out."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Verification is off: it has failed already, and the certificate is only read. `_CertificateProbe` sends nothing.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
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
    """Return the body as bytes, or as a stream where httpx2 has not read it, as with multipart forms of files."""
    try:
        content = request.content if request else b""
    except httpx2.RequestNotRead:
        assert request is not None
        assert isinstance(request.stream, AsyncIterable)
        return _stream_body(request.stream, timer)
    timer.start()
    return content or None


async def _stream_body(body: AsyncIterable[bytes], timer: _ResponseTimer) -> AsyncIterator[bytes]:
    """Yield the body; the time limit of the response starts at its end."""
    async for part in body:
        yield part
    timer.start()


def _build_timeouts(seconds: dict[str, float | None]) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None, connect=seconds.get("pool"), sock_connect=seconds.get("connect"), sock_read=seconds.get("read")
    )
