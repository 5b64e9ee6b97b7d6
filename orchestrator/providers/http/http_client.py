"""The one HTTP client all accounts share, and the last check before something is sent."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

import httpx2

from orchestrator.core.proxy import ProxyRules
from orchestrator.providers.base import Deadline
from orchestrator.providers.http.certificates import build_ssl_context

if TYPE_CHECKING:
    from orchestrator.providers.http.aiohttp_transport import AiohttpTransport

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0

_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


class DeadlinePassed(httpx2.ConnectError):
    """The intent ended before the request was sent: nothing was sent.

    An error of the HTTP client, because SDKs let nothing else through as their own.
    """

    def __init__(self) -> None:
        super().__init__("too late to send this request")


@contextmanager
def send_deadline(deadline: Deadline) -> Iterator[None]:
    """Requests made inside are sent before the deadline, or not at all."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def is_write_call() -> bool:
    """Whether the call under way costs or creates something."""
    return _deadline.get() is not None


def check_deadline() -> None:
    """Raise DeadlinePassed when it is too late for the request that is about to be made, or to leave."""
    deadline = _deadline.get()
    if deadline is not None and deadline.seconds_left <= 0:
        raise DeadlinePassed


class DeadlineTransport(httpx2.AsyncBaseTransport):
    """Checks the deadline before a connection is asked for.

    That is too early to be the last look: waiting for a connection, or being frozen there, is exactly what makes a
    request late. `AiohttpTransport` looks again.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        check_deadline()
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What a server answers to a read; the names of headers in any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


HttpGet = Callable[[str, Mapping[str, str]], Awaitable[HttpResponse]]
"""A GET of a URL, which is encoded already, with these headers. Raises what httpx2 raises."""


class HttpClient(httpx2.AsyncClient):
    """One pool for every account: a client per account costs nearly a megabyte each.

    Reads, which are most of all calls, go past httpx2 to its sockets: its request and its answer would take as long
    as sending the one and receiving the other.
    """

    def __init__(self, aiohttp_transport: AiohttpTransport) -> None:
        super().__init__(
            transport=DeadlineTransport(aiohttp_transport),
            timeout=httpx2.Timeout(READ_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
            # No cookies: what one account is given must not go out with another's key.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
        )
        self._aiohttp_transport = aiohttp_transport

    async def get_directly(self, url: str, headers: Mapping[str, str]) -> HttpResponse:
        """A `Read`."""
        answer = await self._aiohttp_transport.get(url, headers)
        for hear in self.event_hooks["response"]:
            await hear(answer)
        return answer


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """How this process gets out: the proxies on the way, and the authorities that are trusted."""

    proxies: ProxyRules = field(default_factory=ProxyRules)
    ssl_context: ssl.SSLContext = field(default_factory=lambda: build_ssl_context(None, {}))


def create_http_client(max_connections: int, network: NetworkConfig | None = None) -> HttpClient:
    """A client for all accounts that take the same way out. Call it in the event loop."""
    from orchestrator.providers.http.aiohttp_transport import AiohttpTransport

    return HttpClient(AiohttpTransport(max_connections, network or NetworkConfig()))


def build_http_get(http: httpx2.AsyncClient) -> HttpGet:
    """How to read with this client. One that is not ours reads as httpx2 does."""
    if isinstance(http, HttpClient):
        return http.get_directly

    async def read(url: str, headers: Mapping[str, str]) -> HttpResponse:
        answer = await http.get(url, headers=dict(headers))
        return HttpResponse(answer.status_code, answer.headers, answer.content)

    return read


@cache
def encode_base_url(base_url: str) -> str:
    """A base URL as it is sent, without a slash at its end; one for the thousands of accounts that share it."""
    return str(httpx2.URL(base_url)).rstrip("/")
