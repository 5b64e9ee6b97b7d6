"""Body: what a request brings along, read once by the guard and handed on."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from starlette.types import Message, Receive

MAX_BODY_BYTES: Final = 1_000_000
"""Of a request with a token; ten thousand account names fit in."""
MAX_ANONYMOUS_BODY_BYTES: Final = 65_536
"""Of a request that anyone may send: a login, or a webhook, which names one job."""


class RequestBody:
    """The bytes of a request, or nothing of them when they are too many."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_unreplayed_content = False
        self.content = b""

    async def read(self, request: Request, max_bytes: int) -> bool:
        """Read it all; False when it is too large, or the client went away."""
        declared = request.headers.get("Content-Length", "")
        if len(declared) > 12 or (declared.isdigit() and int(declared) > max_bytes):
            return False
        content, more = bytearray(), True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                return False
            content += message.get("body", b"")
            more = message.get("more_body", False)
            if len(content) > max_bytes:
                return False
        self.content, self._has_unreplayed_content = bytes(content), True
        return True

    async def replay(self) -> Message:
        """What the application receives: the bytes that were read, then whatever else comes."""
        if not self._has_unreplayed_content:
            return await self._receive()
        self._has_unreplayed_content = False
        return {"type": "http.request", "body": self.content, "more_body": False}
