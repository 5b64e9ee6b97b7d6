"""A bucket for each account as a process of its own: bytes are hashed and counted, and not kept.

    python benchmarks/object_store.py gcs|s3 --hold-at BYTES

Prints its base URL. The APIs are those of the fakes in tests/fakes. After so many bytes of parts the store holds: of
the parts that are on their way, every second one stops in the middle, and the others are received whole but not
answered. That is the worst moment to kill the sender. `POST /release` ends the hold for ever.

`GET /stats` reports what has been received. `PUT /plain/NAME` takes the same bytes without any API.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("tests/fakes", "tests", ".")]

from fake_bedrock import create_bedrock  # noqa: E402 - found where the line above points to
from fake_server import serve_on_free_port  # noqa: E402 - found where the line above points to
from fake_vertex import create_vertex  # noqa: E402 - found where the line above points to
from fake_world import FakeWorld  # noqa: E402 - found where the line above points to
from object_content import ObjectContent  # noqa: E402 - found where the line above points to

Part = tuple[str, str]  # path of the object, and the number of the part or its first byte
FINISHED_STATUSES = (200, 308)


@dataclass
class MeasuredStore:
    """Counts the bytes of parts before a fake receives them, and holds the parts on their way."""

    app: ASGIApp
    world: FakeWorld
    hold_at: int  # bytes
    received: int = 0  # bytes of parts, finished or not
    finished: set[Part] = field(default_factory=set)
    repeated: list[Part] = field(default_factory=list)  # sent although the store had finished them
    cut: set[Part] = field(default_factory=set)  # held in the middle
    unanswered: set[Part] = field(default_factory=set)  # held after their end
    times: list[float] = field(default_factory=list)  # when the first and the last bytes came, since the last release
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/stats":
            await answer(send, self.describe())
        elif path == "/release":
            self.released.set()
            await answer(send, {})
        elif path == "/restart-clock":
            self.times.clear()
            await answer(send, {})
        elif path.startswith("/plain/"):
            await self._discard(receive)
            await answer(send, {})
        elif (part := find_part(scope)) is None:
            await self.app(scope, receive, send)
        else:
            await self._receive_part(part, scope, receive, send)

    async def _receive_part(self, part: Part, scope: Scope, receive: Receive, send: Send) -> None:
        if part in self.finished:
            self.repeated.append(part)
        length = int(dict(scope["headers"])[b"content-length"])
        await self.app(scope, self._count_bytes(part, length, receive), self._note_end(part, send))

    def describe(self) -> dict[str, Any]:
        """What an outsider sees."""
        return {
            "received": self.received,
            "finished": len(self.finished),
            "repeated": len(self.repeated),
            "cut": len(self.cut),
            "unanswered": len(self.unanswered),
            "seconds": self.times[-1] - self.times[0] if self.times else 0.0,
            "objects": {
                name: [{"bytes": file.size, "checksum": file.checksum} for file in account.files.values()]
                for name, account in self.world.accounts.items()
            },
        }

    @property
    def _holds(self) -> bool:
        return self.received >= self.hold_at and not self.released.is_set()

    def _count_bytes(self, part: Part, length: int, receive: Receive) -> Receive:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            size = len(message.get("body", b""))
            received += size
            self.received += size
            self.times[1:] = [time.perf_counter()]
            in_middle = received >= length // 2 and message.get("more_body", False)
            if self._holds and in_middle and part not in self.unanswered:
                # Every second part is received to its end.
                (self.cut if len(self.cut) <= len(self.unanswered) else self.unanswered).add(part)
                if part in self.cut:
                    await self.released.wait()
                    return {"type": "http.disconnect"}  # whatever the killed process left in the system's buffers
            return message

        return counted

    def _note_end(self, part: Part, send: Send) -> Send:
        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in FINISHED_STATUSES:
                self.finished.add(part)
                if self._holds:
                    self.unanswered.add(part)
                    await self.released.wait()
            await send(message)

        return noted

    async def _discard(self, receive: Receive) -> None:
        content, more = ObjectContent(keep=False), True
        while more:
            message = await receive()
            content.append(message.get("body", b""))
            more = message.get("more_body", False)


def find_part(scope: Scope) -> Part | None:
    """The part that a request sends; None if it sends none."""
    query, headers = parse_qs(scope["query_string"].decode()), dict(scope["headers"])
    if scope["method"] != "PUT":
        return None
    if "partNumber" in query:
        return scope["path"], query["partNumber"][0]
    first = re.match(rb"bytes (\d+)-", headers.get(b"content-range", b""))
    return (scope["path"], first[1].decode()) if first else None


async def answer(send: Send, body: Any) -> None:
    """Send JSON."""
    content = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def create_store(kind: str) -> tuple[ASGIApp, FakeWorld]:
    """The fake of a provider that reads from buckets."""
    clock: Callable[[], float] = time.time  # noqa: TID251 - the wall clock of a real provider
    if kind == "gcs":
        app, world = create_vertex(clock, reads_lines=False)
        app.state.vertex.storage.keeps_content = False
    else:
        app, world = create_bedrock(clock, reads_lines=False)
        app.state.bedrock.storage.keeps_content = False
    return app, world


async def serve(kind: str, hold_at: int) -> None:
    """Serve until the process is terminated."""
    app, world = create_store(kind)
    async with serve_on_free_port(MeasuredStore(app, world, hold_at)) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve a bucket for each account.")
    parser.add_argument("kind", choices=("gcs", "s3"))
    parser.add_argument("--hold-at", type=int, default=sys.maxsize)
    given = parser.parse_args()
    asyncio.run(serve(given.kind, given.hold_at))
