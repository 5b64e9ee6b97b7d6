"""What is too late is not sent: seen from the other end of the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest

from orchestrator.providers.base import Deadline
from orchestrator.providers.http.client import create_http_client
from orchestrator.providers.http.deadline import DeadlinePassed, send_deadline

BODY = b"train"


class Listener:
    """Takes down every byte; answers a request that is whole."""

    def __init__(self) -> None:
        self.heard = b""
        self.listening = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(4096):
            self.heard += part
            self.listening.set()
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


def frozen_clock(looks: int) -> Callable[[], float]:
    """A clock that stands at 0 for so many looks, and then is far later."""
    times = iter([0.0] * looks)
    return lambda: next(times, 100.0)


async def streamed() -> AsyncIterator[bytes]:
    yield BODY


async def send(url: str, boottime: Callable[[], float], *, stream: bool = False) -> httpx2.Response:
    async with create_http_client(1) as client:
        with send_deadline(Deadline(10.0, boottime)):
            return await client.sdk_client.post(
                url, content=streamed() if stream else BODY, headers={"content-length": str(len(BODY))}
            )


@pytest.mark.parametrize("stream", [False, True])
async def test_request_before_its_deadline_is_sent(listener: tuple[Listener, str], stream: bool) -> None:
    heard, url = listener
    assert (await send(url, lambda: 9.9, stream=stream)).text == "ok"
    assert heard.heard.endswith(b"\r\n\r\n" + BODY)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("looks", [0, 1, 2])
async def test_request_frozen_before_its_last_byte_is_never_complete(
    listener: tuple[Listener, str], looks: int, stream: bool
) -> None:
    """Frozen before anything, while it waits for a connection, and between head and body."""
    heard, url = listener
    with pytest.raises(DeadlinePassed):
        await send(url, frozen_clock(looks), stream=stream)
    await asyncio.sleep(0.05)
    assert BODY not in heard.heard


async def test_request_that_waited_for_a_connection_too_long_is_not_sent(listener: tuple[Listener, str]) -> None:
    """The only connection is taken until after the deadline."""
    heard, url = listener
    late = False
    async with create_http_client(1) as client:
        with send_deadline(Deadline(10.0, lambda: 0.0)):
            first = asyncio.create_task(client.sdk_client.post(url, content=b"half", headers={"content-length": "9"}))
        await heard.listening.wait()
        with send_deadline(Deadline(10.0, lambda: 100.0 if late else 0.0)):
            second = asyncio.create_task(client.sdk_client.post(url, content=BODY))
            await asyncio.sleep(0.05)
        late = True
        first.cancel()
        with pytest.raises(DeadlinePassed):
            await second
    assert BODY not in heard.heard
