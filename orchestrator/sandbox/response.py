"""What the sandbox says: an answer, or a refusal in the provider's error shape."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Scope = MutableMapping[str, Any]
CHUNK_BYTES = 256 * 1024
CLOSE_CONNECTION_KEY = "sandbox.cut"  # the scope's entry that closes the connection under the request


@dataclass(frozen=True, slots=True)
class EventStream:
    """Server-sent events, each sent by itself and without the length of them all."""

    events: list[bytes]

    @classmethod
    def from_data(cls, items: Iterable[Any]) -> EventStream:
        """Events without a name; a string is sent as it is, any other value as JSON."""
        texts = (item.encode() if isinstance(item, str) else _encode_json(item) for item in items)
        return cls([b"data: " + text + b"\n\n" for text in texts])

    @classmethod
    def from_events(cls, items: Iterable[tuple[str, Any]]) -> EventStream:
        """Events with a name."""
        return cls([b"event: " + name.encode() + b"\ndata: " + _encode_json(item) + b"\n\n" for name, item in items])


@dataclass(slots=True)
class ApiResponse:
    """A status and a body: a JSON value, or bytes, or a file or events that are streamed."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class SandboxApiError(Exception):
    """The request is refused: raised anywhere below a handler, sent as the provider's error object."""

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
    """404: this key has no such thing."""
    return SandboxApiError(404, f"No such {what}: {name}", param=param, code=code)


def bad_request(message: str, param: str | None, code: str | None = "invalid_value") -> SandboxApiError:
    """400: a parameter is wrong."""
    return SandboxApiError(400, message, param=param, code=code)


async def send_response(
    response: ApiResponse, headers: dict[str, str], send: Send, *, truncate: bool = False
) -> None:
    """Send the answer; with `half`, promise all of it and stop in the middle."""
    size, kind, chunks = _encode_body(response.body)
    length = (
        {"cache-control": "no-cache"} if isinstance(response.body, EventStream) else {"content-length": str(size)}
    )
    head = {"content-type": kind} | length | headers | response.headers
    raw = [(name.encode(), value.encode("utf-8", "replace")) for name, value in head.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    left = size // 2 if truncate else size
    async for chunk in chunks:
        part = chunk[:left]
        left -= len(part)
        await send({"type": "http.response.body", "body": part, "more_body": True})
        if left == 0:
            break
    if not truncate:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def close_connection(scope: Scope) -> None:
    """Close the connection under the request. In-process, where there is none, the caller gets the error."""
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
