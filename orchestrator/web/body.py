"""Body: what a request brings along, read once by the guard and handed on."""

from __future__ import annotations

from typing import ClassVar

from fastapi import Request
from starlette.types import Message, Receive


class Body:
    """The bytes of a request, or nothing of them when they are too many."""

    MOST: ClassVar = 1_000_000
    """Bytes; ten thousand account names fit in."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = False
        self.content = b""

    async def read(self, request: Request) -> bool:
        """Read it all; False when it is too large, or the client went away."""
        declared = request.headers.get("Content-Length", "")
        if len(declared) > 12 or (declared.isdigit() and int(declared) > self.MOST):
            return False
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                return False
            self.content += message.get("body", b"")
            more = message.get("more_body", False)
            if len(self.content) > self.MOST:
                return False
        self._read = True
        return True

    async def again(self) -> Message:
        """What the application receives: the bytes that were read, then whatever else comes."""
        if not self._read:
            return await self._receive()
        self._read = False
        return {"type": "http.request", "body": self.content, "more_body": False}
