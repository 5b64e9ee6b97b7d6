"""The one HTTP client that all accounts on the same network route share.

A client of its own for each account costs nearly a megabyte each, so accounts share the client and bring their key as
a header of each call.
"""

# How it works
#
# There are two ways to send a request, and both end in the same aiohttp connections (aiohttp_transport.py):
#
# * `send` and `sdk_client` go through httpx2. The OpenAI SDK accepts nothing but an `httpx2.AsyncClient`, so every
#   call that creates or changes something takes this way.
# * `get` passes the request to the transport without building httpx2's request and response objects, which take as
#   long as sending the one and receiving the other: 171 instead of 376 µs of CPU a call. Nine of ten calls are reads
#   (a job is polled many times and created once), so this is worth a second way. See decision 0002.
#
# Whatever must hold for every request is therefore here or in the transport, and nowhere else: the deadline, the
# timeouts, no redirects, no cookies, and the response hook. A transport without a `get` of its own, such as
# `httpx2.MockTransport` in a test, is complete: `get` then takes the first way.

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self

import httpx2

from orchestrator.providers.http.aiohttp_transport import AiohttpTransport
from orchestrator.providers.http.deadline import check_deadline
from orchestrator.providers.http.network import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, NetworkConfig
from orchestrator.providers.http.response import HttpGet, HttpResponse

ResponseHook = Callable[[Mapping[str, str]], None]
"""Is called with the headers of every response. Used to compare clocks; must not raise."""


class HttpClient:
    """Sends requests over a transport. Every failure is an `httpx2.HTTPError`; a status is never one."""

    def __init__(
        self,
        transport: httpx2.AsyncBaseTransport,
        direct_get: HttpGet | None = None,
        on_response: ResponseHook | None = None,
    ) -> None:
        """`direct_get` is the transport's own way to read, where it has one."""
        self._direct_get = direct_get
        self._on_response = on_response
        self.sdk_client = httpx2.AsyncClient(
            transport=_CheckedTransport(transport, on_response),
            timeout=httpx2.Timeout(READ_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
            # A cookie that one account receives must not be sent with another account's key.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,  # the key must not follow to another host
        )

    async def get(self, url: str, headers: Mapping[str, str]) -> HttpResponse:
        """Send a GET to a percent-encoded URL."""
        if self._direct_get is None:
            return await self.send("GET", url, headers)
        response = await self._direct_get(url, headers)
        if self._on_response is not None:
            self._on_response(response.headers)
        return response

    async def send(self, method: str, url: str, headers: Mapping[str, str], **options: Any) -> HttpResponse:
        """Send a request. `options` are those of `httpx2.AsyncClient.request`, such as `json`, `files` and `timeout`.

        Also raises `httpx2.InvalidURL`, which is no HTTPError.
        """
        response = await self.sdk_client.request(method, url, headers=dict(headers), **options)
        return HttpResponse(response.status_code, response.headers, response.content)

    async def aclose(self) -> None:
        """Close every connection."""
        await self.sdk_client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _CheckedTransport(httpx2.AsyncBaseTransport):
    """Checks the deadline before the transport is asked for a connection, and reports each response's headers.

    This check is not the last one: a request may wait for a free connection, and the process may be frozen while it
    does. `AiohttpTransport` checks again when the connection is there.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, on_response: ResponseHook | None) -> None:
        self._inner = inner
        self._on_response = on_response

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        check_deadline()
        response = await self._inner.handle_async_request(request)
        if self._on_response is not None:
            self._on_response(response.headers)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def create_http_client(
    max_connections: int, network: NetworkConfig | None = None, on_response: ResponseHook | None = None
) -> HttpClient:
    """Create the client of one network route, with at most `max_connections` connections to one server.

    Must be called in the event loop.
    """
    transport = AiohttpTransport(max_connections, network or NetworkConfig())
    return HttpClient(transport, transport.get, on_response)


@cache  # one string for the thousands of accounts that share a base URL
def encode_base_url(base_url: str) -> str:
    """Return a base URL percent-encoded as it is sent, without a slash at its end."""
    return str(httpx2.URL(base_url)).rstrip("/")
