"""A server that writes bytes of its own choice, correct HTTP or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

RawAnswer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serve_raw(answer: RawAnswer, exceptions: Mapping[bytes, bytes] | None = None) -> AsyncIterator[str]:
    """Answer each request with these bytes and close the connection, or let `answer` write. Yields the base URL.

    `exceptions` are the answers to requests whose path contains a text.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            path = head.split()[1]
            other = next((usual for part, usual in (exceptions or {}).items() if part in path), None)
            if other is not None:
                writer.write(other)
            elif callable(answer):
                await answer(writer)
            else:
                writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client closed the connection
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def http_answer(
    body: bytes = b"{}", *, status: str = "200 OK", headers: str = "", length: int | None = None
) -> bytes:
    """A whole response. `length` is the length that its header claims."""
    claimed = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\ncontent-length: {claimed}\r\nconnection: close\r\n{headers}\r\n".encode() + body
