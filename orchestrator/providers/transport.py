"""The one HTTP client all accounts share, and the last check before something is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpx2

from orchestrator.providers.base import Deadline

CONNECT_SECONDS = 10.0
# Both: a process may be frozen between the two, and a provider acts when it has the last byte.
STARTS = ("send_request_headers.started", "send_request_body.started")
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


class DeadlineTransport(httpx2.AsyncBaseTransport):
    """Checks the deadline, and again when a connection is there and head and body are about to leave.

    Only the first look would be too early: waiting for a connection, or being frozen there, is exactly what makes a
    request late.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        deadline = _deadline.get()
        if deadline is not None:

            async def check(event: str, _info: dict[str, Any]) -> None:
                if event.endswith(STARTS) and deadline.left <= 0:
                    raise DeadlinePassed

            await check(STARTS[0], {})
            request.extensions = {**request.extensions, "trace": check}
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def shared_client(max_in_flight: int) -> httpx2.AsyncClient:
    """One pool for every account: a client per account costs nearly a megabyte each."""
    limits = httpx2.Limits(max_connections=max_in_flight, max_keepalive_connections=max_in_flight)
    transport = DeadlineTransport(httpx2.AsyncHTTPTransport(limits=limits))
    timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    return httpx2.AsyncClient(transport=transport, timeout=timeout, follow_redirects=False)
