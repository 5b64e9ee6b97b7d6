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
from orchestrator.providers.certificates import build_ssl_context

if TYPE_CHECKING:
    from orchestrator.providers.sockets import Sockets

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0

_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


class DeadlinePassed(httpx2.ConnectError):
    """The intent ended before the request was sent: nothing was sent.

    An error of the HTTP client, because SDKs let nothing else through as their own.
    """

    def __init__(self) -> None:
        super().__init__("too late to send this request")


@contextmanager
def sending_before(deadline: Deadline) -> Iterator[None]:
    """Requests made inside are sent before the deadline, or not at all."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def is_creating() -> bool:
    """Whether the call under way costs or creates something."""
    return _deadline.get() is not None


def check_deadline() -> None:
    """Raise DeadlinePassed when it is too late for the request that is about to be made, or to leave."""
    deadline = _deadline.get()
    if deadline is not None and deadline.left <= 0:
        raise DeadlinePassed


class DeadlineTransport(httpx2.AsyncBaseTransport):
    """Checks the deadline before a connection is asked for.

    That is too early to be the last look: waiting for a connection, or being frozen there, is exactly what makes a
    request late. `Sockets` looks again.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        check_deadline()
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answers to a read; the names of headers in any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


Read = Callable[[str, Mapping[str, str]], Awaitable[Answer]]
"""A GET of a URL, which is encoded already, with these headers. Raises what httpx2 raises."""


class SharedClient(httpx2.AsyncClient):
    """One pool for every account: a client per account costs nearly a megabyte each.

    Reads, which are most of all calls, go past httpx2 to its sockets: its request and its answer would take as long
    as sending the one and receiving the other.
    """

    def __init__(self, sockets: Sockets) -> None:
        super().__init__(
            transport=DeadlineTransport(sockets),
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            # No cookies: what one account is given must not go out with another's key.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
        )
        self._sockets = sockets

    async def read(self, url: str, headers: Mapping[str, str]) -> Answer:
        """A `Read`."""
        answer = await self._sockets.read(url, headers)
        for hear in self.event_hooks["response"]:
            await hear(answer)
        return answer


@dataclass(frozen=True, slots=True)
class Network:
    """How this process gets out: the proxies on the way, and the authorities that are trusted."""

    proxies: ProxyRules = field(default_factory=ProxyRules)
    context: ssl.SSLContext = field(default_factory=lambda: build_ssl_context(None, {}))


def shared_client(max_in_flight: int, network: Network | None = None) -> SharedClient:
    """A client for all accounts that take the same way out. Call it in the event loop."""
    from orchestrator.providers.sockets import Sockets

    return SharedClient(Sockets(max_in_flight, network or Network()))


def reader(http: httpx2.AsyncClient) -> Read:
    """How to read with this client. One that is not ours reads as httpx2 does."""
    if isinstance(http, SharedClient):
        return http.read

    async def read(url: str, headers: Mapping[str, str]) -> Answer:
        answer = await http.get(url, headers=dict(headers))
        return Answer(answer.status_code, answer.headers, answer.content)

    return read


@cache
def encoded(base_url: str) -> str:
    """A base URL as it is sent, without a slash at its end; one for the thousands of accounts that share it."""
    return str(httpx2.URL(base_url)).rstrip("/")
