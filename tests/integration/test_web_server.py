from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator

import httpx2
import pytest
from machine_speed import scale_seconds
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from orchestrator.core.errors import ConfigError
from orchestrator.web.server import WebServer


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"."
            await asyncio.sleep(0.05)

    async def slow() -> Response:
        await asyncio.sleep(0.5)
        return JSONResponse("done")

    path = Request(scope).url.path
    answer = StreamingResponse(endless()) if path == "/endless" else await slow()
    await answer(scope, receive, send)


async def stopped_in(server: WebServer) -> float:
    before = time.perf_counter()
    await server.stop()
    return time.perf_counter() - before


async def test_free_port_is_reported_and_released() -> None:
    server = WebServer(app, "127.0.0.1", 0)
    port = await server.start()
    async with httpx2.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
    assert answer.json() == "done"
    assert "server" not in answer.headers
    await server.stop()
    again = WebServer(app, "127.0.0.1", port)
    assert await again.start() == port
    await again.stop()


def test_answers_do_not_wait_for_the_acknowledgement_of_their_head() -> None:
    """An answer is sent in two parts. With Nagle's algorithm the second waits 40 ms on each kept connection."""
    with WebServer(app, "127.0.0.1", 0)._listen() as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_server_leaves_signal_handlers_unchanged() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    server = WebServer(app, "127.0.0.1", 0)
    await server.start()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    await server.stop()


async def test_stop_finishes_running_requests() -> None:
    server = WebServer(app, "127.0.0.1", 0)
    port = await server.start()
    async with httpx2.AsyncClient() as client:
        asking = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/slow"))
        await asyncio.sleep(0.2)
        assert await stopped_in(server) < scale_seconds(60)
        assert (await asking).json() == "done"


async def test_open_connections_do_not_block_the_stop() -> None:
    server = WebServer(app, "127.0.0.1", 0)
    port = await server.start()
    sent = [b"", b"GET / HT", b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n"]
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in sent]
    for (_, writer), start in zip(connections, sent, strict=True):
        writer.write(start)
    await connections[2][0].readuntil(b"\r\n\r\n")
    assert await stopped_in(server) < scale_seconds(60)
    for reader, writer in connections:
        await asyncio.wait_for(reader.read(), scale_seconds(60))  # to the end: closed by the server
        writer.close()


async def test_stop_before_start_does_nothing() -> None:
    await WebServer(app, "127.0.0.1", 0).stop()


async def test_a_port_in_use_is_one_clear_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            await WebServer(app, "127.0.0.1", port).start()
    assert str(caught.value) == f"127.0.0.1 port {port} is already in use"
    assert "ORCHESTRATOR_PORT" in caught.value.hint
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "2001:db8::1"])
async def test_foreign_address_is_one_clear_message(host: str) -> None:
    with pytest.raises(ConfigError, match="is not an address of this machine") as caught:
        await WebServer(app, host, 0).start()
    assert "ORCHESTRATOR_HOST" in caught.value.hint
