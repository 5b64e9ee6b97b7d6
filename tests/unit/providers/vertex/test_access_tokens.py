"""The requests of google-auth: whatever keeps the token endpoint from an answer is a transport error, tried again."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import httpx2
import pytest

from orchestrator.core.secret import Redactor
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response import HttpResponse
from orchestrator.providers.vertex.access_tokens import AuthRequest

ENDPOINT = "https://tokens.example/token"


class TransportError(Exception):
    """Google-auth's, which need not be installed."""


class EndpointWithoutResponse:
    """Fails with an error, or without one never responds."""

    def __init__(self, error: BaseException | None) -> None:
        self._error = error
        self.has_stopped = asyncio.Event()

    async def send(self, method: str, url: str, headers: Any, **options: Any) -> HttpResponse:
        try:
            if self._error is not None:
                raise self._error
            await asyncio.Event().wait()
            raise AssertionError
        finally:
            self.has_stopped.set()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (httpx2.ConnectError("refused"), "tokens.example cannot be reached: ConnectError: refused"),
        (httpx2.InvalidURL("no port"), "tokens.example cannot be reached: InvalidURL: no port"),
        (OSError("too many open files"), "tokens.example cannot be reached: OSError: too many open files"),
        (asyncio.CancelledError(), "tokens.example did not respond in time"),  # the program stops
        (None, "tokens.example did not respond in time"),
    ],
)
async def test_request_without_a_response_is_a_transport_error(error: BaseException | None, text: str) -> None:
    endpoint = EndpointWithoutResponse(error)
    loop = asyncio.get_running_loop()
    request = AuthRequest(cast(HttpClient, endpoint), ENDPOINT, loop, TransportError, Redactor())
    with pytest.raises(TransportError) as failed:
        await asyncio.to_thread(request, ENDPOINT, timeout=60.0 if error else 0.01)
    assert str(failed.value) == text
    await asyncio.wait_for(endpoint.has_stopped.wait(), 60)  # a request that nobody waits for ends
