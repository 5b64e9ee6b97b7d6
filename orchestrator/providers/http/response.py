"""The response of a provider as `HttpClient` returns it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from orchestrator.core.structs import Struct


class HttpResponse(Struct, frozen=True):
    """A complete response."""

    status: int
    headers: Mapping[str, str]  # look-up ignores the case of a name
    content: bytes  # decompressed

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 200 to 299."""
        return 200 <= self.status < 300


HttpGet = Callable[[str, Mapping[str, str]], Awaitable[HttpResponse]]
"""Sends a GET to a URL, which is percent-encoded already, with these headers. Raises what httpx2 raises."""
