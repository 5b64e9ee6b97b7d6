"""What the sandbox says: an answer, or a refusal in the provider's error shape."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Scope = MutableMapping[str, Any]
CHUNK = 256 * 1024
CUT = "sandbox.cut"  # the scope's entry that closes the connection under the request


@dataclass(frozen=True, slots=True)
class EventStream:
    """Server-sent events, each sent by itself and without the length of them all."""

    events: list[bytes]

    @classmethod
    def of_data(cls, items: Iterable[Any]) -> EventStream:
        """Events without a name; a string is sent as it is, any other value as JSON."""
        texts = (item.encode() if isinstance(item, str) else _encode(item) for item in items)
        return cls([b"data: " + text + b"\n\n" for text in texts])

    @classmethod
    def of_events(cls, items: Iterable[tuple[str, Any]]) -> EventStream:
        """Events with a name."""
        return cls([b"event: " + name.encode() + b"\ndata: " + _encode(item) + b"\n\n" for name, item in items])


@dataclass(slots=True)
class Answer:
    """A status and a body: a JSON value, or bytes, or a file or events that are streamed."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
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
        self.answer = Answer({"error": error}, status, headers or {})


def missing(what: str, name: str, *, param: str = "id", code: str | None = None) -> Refusal:
    """404: this key has no such thing."""
    return Refusal(404, f"No such {what}: {name}", param=param, code=code)


def invalid(message: str, param: str | None, code: str | None = "invalid_value") -> Refusal:
    """400: a parameter is wrong."""
    return Refusal(400, message, param=param, code=code)


async def deliver(answer: Answer, headers: dict[str, str], send: Send, *, half: bool = False) -> None:
    """Send the answer; with `half`, promise all of it and stop in the middle."""
    size, kind, chunks = _body(answer.body)
    length = {"cache-control": "no-cache"} if isinstance(answer.body, EventStream) else {"content-length": str(size)}
    head = {"content-type": kind} | length | headers | answer.headers
    raw = [(name.encode(), value.encode("utf-8", "replace")) for name, value in head.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    left = size // 2 if half else size
    async for chunk in chunks:
        part = chunk[:left]
        left -= len(part)
        await send({"type": "http.response.body", "body": part, "more_body": True})
        if left == 0:
            break
    if not half:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def cut(scope: Scope) -> None:
    """Close the connection under the request. In-process, where there is none, the caller gets the error."""
    close = scope.get(CUT)
    if close is None:
        raise ConnectionResetError("the sandbox cut this connection")
    await close()


def _body(body: Any) -> tuple[int, str, AsyncIterator[bytes]]:
    if isinstance(body, Path):
        return body.stat().st_size, "application/octet-stream", _read(body)
    if isinstance(body, EventStream):
        return sum(map(len, body.events)), "text/event-stream; charset=utf-8", _each(body.events)
    if isinstance(body, bytes):
        return len(body), "application/octet-stream", _each([body])
    text = _encode(body)
    return len(text), "application/json", _each([text])


def _encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


async def _each(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
