"""Responses of the sandbox, and errors in the provider's format."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Scope = MutableMapping[str, Any]
CHUNK_BYTES = 256 * 1024
CLOSE_CONNECTION_KEY = "sandbox.cut"  # entry of the ASGI scope: a function that closes the connection of the request


class EventStream(Struct, frozen=True):
    """A body of server-sent events, sent one by one without a Content-Length."""

    events: list[bytes]

    @classmethod
    def from_data(cls, items: Iterable[Any]) -> EventStream:
        """Build events without a name. A string is sent unchanged, any other value as JSON."""
        texts = (item.encode() if isinstance(item, str) else _encode_json(item) for item in items)
        return cls([b"data: " + text + b"\n\n" for text in texts])

    @classmethod
    def from_events(cls, items: Iterable[tuple[str, Any]]) -> EventStream:
        """Build events with a name."""
        return cls([b"event: " + name.encode() + b"\ndata: " + _encode_json(item) + b"\n\n" for name, item in items])


class ApiResponse(Struct):
    """A status and a body: a JSON value, bytes, the path of a file, or an EventStream."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class SandboxApiError(Exception):
    """An error response. Raised anywhere below a handler, and sent as the provider's error object."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        error = {"message": message, "type": kind, "param": param, "code": code}
        self.response = ApiResponse({"error": error}, status, headers or {})


def not_found(what: str, name: str, *, param: str = "id", code: str | None = None) -> SandboxApiError:
    """Build a 404: the account of this key has no such object."""
    return SandboxApiError(404, f"No such {what}: {name}", param=param, code=code)


def bad_request(message: str, param: str | None, code: str | None = "invalid_value") -> SandboxApiError:
    """Build a 400: a parameter is wrong."""
    return SandboxApiError(400, message, param=param, code=code)


async def send_response(
    response: ApiResponse, headers: dict[str, str], send: Send, *, truncate: bool = False
) -> None:
    """Send the response. With `truncate`, announce the full length and send half of the body."""
    size, kind, chunks = _encode_body(response.body)
    length = (
        {"cache-control": "no-cache"} if isinstance(response.body, EventStream) else {"content-length": str(size)}
    )
    head = {"content-type": kind} | length | headers | response.headers
    raw = [(name.encode(), value.encode("utf-8", "replace")) for name, value in head.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    remaining = size // 2 if truncate else size
    async for chunk in chunks:
        part = chunk[:remaining]
        remaining -= len(part)
        await send({"type": "http.response.body", "body": part, "more_body": True})
        if remaining == 0:
            break
    if not truncate:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def close_connection(scope: Scope) -> None:
    """Close the connection of a request. Raises ConnectionResetError in-process, where there is no connection."""
    close = scope.get(CLOSE_CONNECTION_KEY)
    if close is None:
        raise ConnectionResetError("the sandbox cut this connection")
    await close()


def _encode_body(body: Any) -> tuple[int, str, AsyncIterator[bytes]]:
    if isinstance(body, Path):
        return body.stat().st_size, "application/octet-stream", _read_chunks(body)
    if isinstance(body, EventStream):
        return sum(map(len, body.events)), "text/event-stream; charset=utf-8", _iterate_parts(body.events)
    if isinstance(body, bytes):
        return len(body), "application/octet-stream", _iterate_parts([body])
    text = _encode_json(body)
    return len(text), "application/json", _iterate_parts([text])


def _encode_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


async def _iterate_parts(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def _read_chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
