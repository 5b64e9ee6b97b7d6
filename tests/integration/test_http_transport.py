"""The way out to providers: what it keeps to itself, and what its failures are called."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Iterable

import httpx2
import pytest

from orchestrator.providers.http.client import create_http_client


class Server:
    """Gives the next of its answers to whatever is sent; keeps what it heard."""

    def __init__(self) -> None:
        self.heard = b""
        self.answers: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(4096):
            self.heard += part
            if not self.answers:
                break
            writer.write(self.answers.pop(0))
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    made = Server()
    listening = await asyncio.start_server(made, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    yield made, f"http://{host}:{port}"
    listening.close()
    await listening.wait_closed()


def answer(body: bytes = b"", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines: Iterable[bytes] = (b"HTTP/1.1 " + status, *headers, b"content-length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def test_cookies_are_not_shared_between_accounts(server: tuple[Server, str]) -> None:
    heard, url = server
    heard.answers = [answer(b"", b"set-cookie: session=1; Path=/"), answer()]
    async with create_http_client(1) as client:
        await client.sdk_client.get(url)
        await client.sdk_client.get(url)
    assert b"cookie" not in heard.heard.lower()


async def test_a_compressed_answer_is_read(server: tuple[Server, str]) -> None:
    heard, url = server
    heard.answers = [answer(gzip.compress(b"plain"), b"content-encoding: gzip")]
    async with create_http_client(1) as client:
        assert (await client.sdk_client.get(url)).text == "plain"


async def test_direct_read_returns_the_answer_of_httpx2(server: tuple[Server, str]) -> None:
    """A compressed answer, one with a cookie, and a redirect, which is not followed."""
    heard, url = server
    heard.answers = [
        answer(
            gzip.compress(b"plain"), b"content-encoding: gzip", b"X-Request-Id: r1", b"set-cookie: session=1; Path=/"
        ),
        answer(b"no", b"location: /elsewhere", status=b"302 Found"),
    ]
    async with create_http_client(1) as client:
        plain = await client.get(f"{url}/a%20b?c=d%5B", {"authorization": "Bearer k"})
        away = await client.get(url, {})
    assert (plain.status, plain.content, plain.headers.get("x-request-id")) == (200, b"plain", "r1")
    assert (away.status, away.content) == (302, b"no")
    assert heard.heard.startswith(b"GET /a%20b?c=d%5B HTTP/1.1\r\n")
    assert b"authorization: bearer k\r\n" in heard.heard.lower()
    assert b"cookie" not in heard.heard.lower()
    assert b"elsewhere" not in heard.heard


@pytest.mark.parametrize("body", [b"not gzip", b""])
async def test_failed_direct_read_raises_an_httpx2_error(server: tuple[Server, str], body: bytes) -> None:
    """An answer that cannot be decompressed, and none at all."""
    heard, url = server
    heard.answers = [answer(body, b"content-encoding: gzip")] if body else []
    async with create_http_client(1) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(url, {})


async def test_a_redirect_is_not_followed(server: tuple[Server, str]) -> None:
    heard, url = server
    heard.answers = [answer(b"", b"location: /elsewhere", status=b"302 Found")]
    async with create_http_client(1) as client:
        assert (await client.sdk_client.get(url)).status_code == 302
    assert b"elsewhere" not in heard.heard


async def test_a_post_whose_answer_is_lost_is_not_sent_again(server: tuple[Server, str]) -> None:
    """Not even on a connection that served before, which is where clients take the liberty."""
    heard, url = server
    heard.answers = [answer()]
    async with create_http_client(1) as client:
        await client.sdk_client.get(url)
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.sdk_client.post(url, content=b"x")
    assert heard.heard.count(b"POST") == 1


async def test_a_silent_server_is_a_timeout(server: tuple[Server, str]) -> None:
    heard, url = server
    heard.answers = [b"HTTP/1.1 200 OK\r\n"]
    async with create_http_client(1) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await client.sdk_client.get(url, timeout=httpx2.Timeout(5.0, read=0.05))


async def test_unreachable_server_is_a_connect_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with create_http_client(1) as client:
        with pytest.raises(httpx2.ConnectError, match=str(port)):
            await client.sdk_client.get(f"http://127.0.0.1:{port}")
