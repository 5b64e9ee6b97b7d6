"""The web server's limits, with real sockets: who holds connections open, and who still gets through."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from orchestrator.core.structs import replace
from orchestrator.web import acceptor
from orchestrator.web.limited_protocol import MAX_HEADER_BYTES, MAX_REQUEST_WIRE_BYTES, ConnectionLimits
from orchestrator.web.server import WebServer

HALF = b"GET / HTTP/1.1\r\nHost: x\r\n"
WHOLE = HALF + b"\r\n"
WAIT = 60.0
QUICK = ConnectionLimits(header_seconds=0.5, request_seconds=0.5, idle_seconds=1, stalled_seconds=0.5)
PATIENT = ConnectionLimits(header_seconds=600, request_seconds=600, idle_seconds=600, stalled_seconds=600)
MEGABYTE = bytes(1_000_000)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    answer: Response
    if request.url.path == "/stream":
        answer = StreamingResponse(ticks())
    elif request.url.path == "/large":
        answer = Response(MEGABYTE * 30)
    elif request.url.path == "/early":
        answer = Response(status_code=413)
    else:
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        answer = JSONResponse({"body": len(body), "headers": sorted(request.headers)})
    await answer(scope, receive, send)


async def ticks() -> AsyncIterator[bytes]:
    for _ in range(30):
        yield b"."
        await asyncio.sleep(0.1)


@asynccontextmanager
async def serving(limits: ConnectionLimits) -> AsyncIterator[int]:
    server = WebServer(app, "127.0.0.1", 0, limits)
    try:
        yield await server.start()
    finally:
        for client in Client.opened:
            client.close()
        Client.opened.clear()
        await server.stop()
        await asyncio.sleep(0.1)  # until every transport is really closed


class Client:
    """A connection that sends what it is told to, and no more."""

    opened: ClassVar[list[Client]] = []  # closed with the server

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int, sent: bytes = b"") -> Client:
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        cls.opened.append(client)
        await client.send(sent)
        return client

    async def send(self, sent: bytes) -> None:
        self._writer.write(sent)
        await self._writer.drain()

    async def head(self) -> str:
        """Status line and headers of the next answer."""
        async with asyncio.timeout(WAIT):
            return (await self._reader.readuntil(b"\r\n\r\n")).decode()

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of the next answer."""
        head = await self.head()
        length = next(line for line in head.lower().splitlines() if line.startswith("content-length:"))
        async with asyncio.timeout(WAIT):
            body = await self._reader.readexactly(int(length.partition(":")[2]))
        return int(head.split()[1]), body

    async def rest(self, pause_seconds: float = 0.0) -> bytes:
        """Everything until the server closes the connection, read with pauses."""
        received = b""
        async with asyncio.timeout(WAIT):
            try:
                while data := await self._reader.read(65536):
                    received += data
                    await asyncio.sleep(pause_seconds)
            except ConnectionError:
                pass
        return received

    def close(self) -> None:
        self._writer.transport.abort()


async def status_of(port: int, sent: bytes = WHOLE) -> int:
    client = await Client.connect(port, sent)
    status, _ = await client.answer()
    client.close()
    return status


async def test_half_sent_requests_do_not_block_a_complete_request() -> None:
    limits = ConnectionLimits(max_connections=40, header_seconds=600, request_seconds=600, idle_seconds=600)
    async with serving(limits) as port:
        halves = [await Client.connect(port, HALF) for _ in range(200)]
        [await Client.connect(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n") for _ in range(60)]
        assert [await status_of(port) for _ in range(20)] == [200] * 20
        assert await halves[0].rest() == b"", "the oldest lost its place"


async def test_idle_connections_are_closed_for_new_ones_before_active_ones() -> None:
    limits = ConnectionLimits(max_connections=8, header_seconds=600, request_seconds=600, idle_seconds=600)
    async with serving(limits) as port:
        stream = await Client.connect(port, b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await stream.head()
        for _ in range(40):
            kept = await Client.connect(port, WHOLE)
            assert (await kept.answer())[0] == 200
        assert (await stream.rest()).count(b"\r\n.\r\n") == 30
        assert await status_of(port) == 200


async def test_new_connection_gets_503_when_every_slot_is_busy() -> None:
    limits = ConnectionLimits(max_connections=4)
    async with serving(limits) as port:
        streams = [await Client.connect(port, b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(4)]
        for stream in streams:
            await stream.head()
        newcomer = await Client.connect(port)
        assert b" 503 " in await newcomer.rest()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", b""),
        (b"GET / HT", b"HTTP/1.1 408 "),
        (HALF, b"HTTP/1.1 408 "),
        (b"\r\n\r\n", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", b"HTTP/1.1 408 "),
    ],
)
async def test_a_slow_sender_is_closed(sent: bytes, said: bytes) -> None:
    async with serving(QUICK) as port:
        client = await Client.connect(port, sent)
        answered = await client.rest()
    assert answered.startswith(said)
    assert bool(said) == bool(answered)


async def test_trickled_bytes_do_not_extend_the_time_limit() -> None:
    async with serving(QUICK) as port:
        client = await Client.connect(port, HALF)
        ended = asyncio.create_task(client.rest())
        for _ in range(600):
            if ended.done():
                break
            await client.send(b"a")
            await asyncio.sleep(0.1)
        assert (await ended).startswith(b"HTTP/1.1 408 ")


async def test_idle_connection_is_closed_also_during_a_second_request() -> None:
    async with serving(QUICK) as port:
        idle, second = await Client.connect(port, WHOLE), await Client.connect(port, WHOLE)
        assert [(await each.answer())[0] for each in (idle, second)] == [200, 200]
        await second.send(b"G")
        assert await idle.rest() == b""
        assert (await second.rest()).startswith(b"HTTP/1.1 408 ")


async def test_body_after_an_early_answer_is_dropped_for_a_limited_time() -> None:
    async with serving(QUICK) as port:
        client = await Client.connect(port, b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
        assert (await client.head()).startswith("HTTP/1.1 413 ")
        ended = asyncio.create_task(client.rest())
        for _ in range(600):
            if ended.done():
                break
            await client.send(b"x" * 100)
            await asyncio.sleep(0.1)
        assert b"HTTP" not in await ended


async def test_streams_and_large_answers_outlast_every_limit() -> None:
    async with serving(replace(QUICK, stalled_seconds=30)) as port:
        stream = await Client.connect(port, b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        large = await Client.connect(port, b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        read = 0
        read = len(await large.rest(pause_seconds=0.01))
        assert read > 30_000_000
        assert (await stream.rest()).count(b"\r\n.\r\n") == 30


async def test_a_client_that_reads_nothing_of_its_answer_is_closed() -> None:
    async with serving(QUICK) as port:
        deaf = socket.create_connection(("127.0.0.1", port))
        deaf.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(3)
        received = 0
        deaf.settimeout(WAIT)
        with deaf, suppress(ConnectionResetError):  # or the end, once what the kernel held is read
            while data := await asyncio.to_thread(deaf.recv, 1_000_000):
                received += len(data)
        assert received < 30_000_000


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HALF + b"X: " + b"a" * (MAX_HEADER_BYTES + 1000), 431),
        (HALF + b"X: " + b"a" * (MAX_HEADER_BYTES + 1000) + b"\r\n\r\n", 431),
        (HALF + b"X: a\r\n" * 30_000, 431),
        (b"GET /" + b"a" * (MAX_HEADER_BYTES + 1000), 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 500_000, 413),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
            + b"X: "
            + b"a" * (MAX_HEADER_BYTES + 1000)
            + b"\r\n" * 2,
            431,
        ),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ],
)
async def test_too_large_or_invalid_request_is_refused(sent: bytes, status: int) -> None:
    assert len(sent) < 2 * MAX_REQUEST_WIRE_BYTES
    async with serving(PATIENT) as port:
        client = await Client.connect(port)
        sending = asyncio.create_task(client.send(sent))
        assert f"HTTP/1.1 {status} " in (await client.rest()).decode()
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_megabyte_in_one_byte_chunks_within_the_limit_is_read_at_once() -> None:
    chunks = b"1\r\na\r\n" * 60_000
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(PATIENT) as port:
        client = await Client.connect(port, head + chunks + b"0\r\n\r\n")
        assert json.loads((await client.answer())[1])["body"] == 60_000


async def test_trailers_are_not_headers() -> None:
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Late: 1\r\n\r\n"
    async with serving(PATIENT) as port:
        client = await Client.connect(port, sent)
        assert json.loads((await client.answer())[1])["headers"] == ["host", "transfer-encoding"]


async def test_pipelined_requests_are_answered_in_order_up_to_a_limit() -> None:
    async with serving(PATIENT) as port:
        few, many = await Client.connect(port, WHOLE * 10), await Client.connect(port, WHOLE * 5000)
        assert [(await few.answer())[0] for _ in range(10)] == [200] * 10
        assert (await many.rest()).count(b"HTTP/1.1 200") < 20


async def test_body_time_limit_starts_after_a_running_stream() -> None:
    """The server reads no further while it answers the first request: the client cannot be late with the second."""
    stream = b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhello"
    async with serving(replace(QUICK, request_seconds=1.5, stalled_seconds=30)) as port:
        client, late = await Client.connect(port, stream), await Client.connect(port, stream)
        for each in (client, late):
            await each.head()
            await each.send(post)  # the first packet; `late` never sends the second
        await asyncio.sleep(0.2)
        await client.send(b"world")
        assert json.loads((await client.rest()).rpartition(b"\r\n\r\n")[2])["body"] == 10
        assert (await late.rest()).endswith(b"408 Request Timeout\n")


class ExhaustedListener(socket.socket):
    """A listening socket of a process that has no file descriptor left, until `has_descriptors`."""

    has_descriptors = False

    def accept(self) -> tuple[socket.socket, object]:
        if not self.has_descriptors:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_listener_without_descriptors_waits_and_logs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "ACCEPT_RETRY_SECONDS", 0.01)
    with ExhaustedListener() as listener, capture_logs() as lines:
        listener.bind(("127.0.0.1", 0))
        monkeypatch.setattr(WebServer, "_listen", lambda _: listener)
        async with serving(PATIENT) as port:
            waiting = await Client.connect(port, WHOLE)
            await eventually(lambda: bool(lines))
            await asyncio.sleep(1)
            listener.has_descriptors = True
            assert (await waiting.answer())[0] == 200
    first, last = lines
    assert first["event"] == last["event"] == "connections.refused"
    assert first["EMFILE"] > 1
    assert last["EMFILE"] > 1, "the rest is reported at the end"
    assert "ORCHESTRATOR_MAX_CONNECTIONS" in first["hint"]


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)
