"""A company's network on this machine: its proxy, its certificate authority, and servers behind TLS."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TypeVar

import trustme

T = TypeVar("T")
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def do_nothing() -> None:
    """What happens at a point of a connection where nothing happens."""


class Authority:
    """The company's own certificate authority, which no machine trusts by itself."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA(organization_name="Example Works", organization_unit_name="Private Root")
        self.file = folder / "company-ca.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def server(self, *names: str, alpn: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
        """What a server of these names needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names).configure_cert(context)
        context.set_alpn_protocols(list(alpn))
        return context


@asynccontextmanager
async def listen_on_free_port(handle: Handle, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a free port of this machine."""

    tasks: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            async with closing(writer):
                await handle(reader, writer)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(served(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Closed at the end, whatever happens."""
    try:
        yield
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def connected_to(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with closing(writer):
        yield reader, writer


class ConnectProxy:
    """Tunnels to whatever port a name is said to be at, and keeps a log of what it was asked for."""

    def __init__(self, ports: dict[str, int], *, user: str = "", password: str = "") -> None:
        self.log: list[str] = []
        self.refused: list[str] = []
        self.received = b""
        self.connecting = do_nothing  # after a CONNECT has been read
        self.connected = do_nothing  # after it has been answered
        self._ports = ports
        self._authorization = f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}" if user else ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.received += head.encode()
        method, target = head.split(" ")[:2]
        if self._authorization and f"proxy-authorization: {self._authorization}".lower() not in head.lower():
            self.refused.append(target)
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            return
        self.log.append(f"{method} {target}")
        if method != "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            await writer.drain()
            return
        await self.connecting()
        async with connected_to(self._ports[target.partition(":")[0]]) as (far_reader, far_writer):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.drain()
            await self.connected()
            await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))


def forward_to(port: int) -> Handle:
    """Passes everything on to another port of this machine."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with connected_to(port) as (far_reader, far_writer):
            await asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))

    return handle


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()


@contextmanager
def run_in_background_loop(opened: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
    """What an asynchronous generator makes, on a loop of its own thread, for a test that has none."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    context = asynccontextmanager(opened)()
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(60)
    finally:
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(60)
        asyncio.run_coroutine_threadsafe(_end_tasks(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
