"""What is too late is not sent: seen from the other end of the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest

from orchestrator.providers.base import Deadline
from orchestrator.providers.transport import DeadlinePassed, sending_before, shared_client

BODY = b"train"


class Listener:
    """Takes down every byte; answers a request that is whole."""

    def __init__(self) -> None:
        self.heard = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(4096):
            self.heard += part
            if self.heard.endswith(BODY):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[tuple[Listener, str]]:
    listener = Listener()
    server = await asyncio.start_server(listener, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield listener, f"http://{host}:{port}"
    server.close()
    await server.wait_closed()


def frozen_after(looks: int) -> Callable[[], float]:
    """A clock that stands at 0 for so many looks, and then is far later."""
    times = iter([0.0] * looks)
    return lambda: next(times, 100.0)


async def send(url: str, boottime: Callable[[], float]) -> httpx2.Response:
    client = shared_client(1)
    try:
        with sending_before(Deadline(10.0, boottime)):
            return await client.post(url, content=BODY)
    finally:
        await client.aclose()


async def test_in_time_it_is_sent(listener: tuple[Listener, str]) -> None:
    heard, url = listener
    assert (await send(url, lambda: 9.9)).text == "ok"
    assert heard.heard.endswith(BODY)


@pytest.mark.parametrize(("looks", "sent"), [(0, b""), (1, b""), (2, b"POST")])
async def test_frozen_before_its_last_byte_it_is_never_whole(
    listener: tuple[Listener, str], looks: int, sent: bytes
) -> None:
    """Frozen before anything, while it waits for a connection, and between head and body."""
    heard, url = listener
    with pytest.raises(DeadlinePassed):
        await send(url, frozen_after(looks))
    await asyncio.sleep(0.05)
    assert heard.heard.startswith(sent)
    assert BODY not in heard.heard
