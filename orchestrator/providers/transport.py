"""The one HTTP client all accounts share, and the last check before something is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from orchestrator.providers.base import Deadline

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


def shared_client(max_in_flight: int) -> httpx2.AsyncClient:
    """One pool for every account: a client per account costs nearly a megabyte each. Call it in the event loop."""
    from orchestrator.providers.sockets import Sockets

    transport = DeadlineTransport(Sockets(max_in_flight))
    timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    # No cookies: what one account is given must not go out with another's key.
    refuse = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx2.AsyncClient(transport=transport, timeout=timeout, cookies=refuse, follow_redirects=False)
