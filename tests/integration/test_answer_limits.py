"""What one server can take of the others' memory, time and connections: each has a bound."""

from __future__ import annotations

import asyncio
import gzip
import resource
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx2
import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.errors import ProviderError, ProviderUnavailable, UnknownOutcome
from orchestrator.core.notifications.delivery import Delivery
from orchestrator.core.notifications.notification import Notification, Topic
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.notify.webhook_sender import WebhookSender
from orchestrator.notify.webhook_sender import build_client as webhook_client
from orchestrator.providers.base import Deadline, JobOrder, Provider
from orchestrator.providers.fireworks import fireworks_provider
from orchestrator.providers.http.client import HttpClient, create_http_client
from orchestrator.providers.http.transport_errors import MAX_RESPONSE_BYTES
from orchestrator.providers.openai import openai_provider

Answering = Callable[[asyncio.StreamWriter], Awaitable[None]]
BOMB_BYTES = 1_000_000_000
MEGABYTE = 1 << 20


@asynccontextmanager
async def serving(answering: Answering) -> AsyncIterator[str]:
    """A server that reads a request's head and then answers like this, over and over."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                await answering(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@cache
def bomb(encoding: str) -> bytes:
    """A gigabyte of zeros, as it is sent."""
    packer = zlib.compressobj(9, wbits={"gzip": 31, "deflate": 15}[encoding])
    zeros = bytes(MEGABYTE)
    return b"".join(packer.compress(zeros) for _ in range(BOMB_BYTES // MEGABYTE)) + packer.flush()


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def compressed(writer: asyncio.StreamWriter, body: bytes, encoding: str, status: str = "200 OK") -> None:
    writer.write(f"HTTP/1.1 {status}\r\ncontent-encoding: {encoding}\r\ncontent-length: {len(body)}\r\n\r\n".encode())
    for start in range(0, len(body), MEGABYTE):
        writer.write(body[start : start + MEGABYTE])
        await writer.drain()


async def endless_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"100000\r\n" + bytes(MEGABYTE) + b"\r\n")
        await writer.drain()


async def huge_header(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nx-long: ")
    while True:
        writer.write(b"x" * MEGABYTE)
        await writer.drain()


async def many_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-one: 1\r\n" * 100_000)
        await writer.drain()


async def endless_informational(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
        await writer.drain()


async def a_dripping_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def a_dripping_head(writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def read(http: HttpClient, url: str) -> Any:
    return await http.get(url, {})


async def post(http: HttpClient, url: str) -> Any:
    return await http.sdk_client.post(url, content=b"{}")


BOTH_PATHS = pytest.mark.parametrize("call", [read, post])


@BOTH_PATHS
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_gigabyte_costs_no_memory(call: Callable[..., Awaitable[Any]], encoding: str) -> None:
    packed = bomb(encoding)
    before = peak_bytes()
    async with serving(lambda writer: compressed(writer, packed, encoding)) as url, create_http_client(1) as http:
        with pytest.raises(httpx2.RemoteProtocolError, match="16 MiB"):
            await call(http, url)
    assert peak_bytes() - before < 100 * MEGABYTE


@BOTH_PATHS
async def test_unrequested_encoding_is_limited_or_refused(call: Callable[..., Awaitable[Any]]) -> None:
    """Neither brotli nor zstd is installed with this program: what claims to be such is never taken for an answer."""
    for encoding in ("br", "zstd"):
        async with serving(lambda w, e=encoding: compressed(w, b"x" * 100, e)) as url, create_http_client(1) as http:  # type: ignore[misc]
            with pytest.raises(httpx2.RemoteProtocolError):
                await call(http, url)


@BOTH_PATHS
@pytest.mark.parametrize("answering", [endless_chunks, huge_header, many_headers])
async def test_an_endless_answer_ends(call: Callable[..., Awaitable[Any]], answering: Answering) -> None:
    before = peak_bytes()
    async with serving(answering) as url, create_http_client(1) as http:
        with pytest.raises(httpx2.RemoteProtocolError):
            await call(http, url)
    assert peak_bytes() - before < 100 * MEGABYTE


@BOTH_PATHS
async def test_the_largest_answer_is_still_read(call: Callable[..., Awaitable[Any]]) -> None:
    packed = gzip.compress(bytes(MAX_RESPONSE_BYTES))
    async with serving(lambda writer: compressed(writer, packed, "gzip")) as url, create_http_client(1) as http:
        assert len((await call(http, url)).content) == MAX_RESPONSE_BYTES


@BOTH_PATHS
async def test_requests_ask_for_no_encoding(call: Callable[..., Awaitable[Any]]) -> None:
    heard = b""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server, create_http_client(1) as http:
        await call(http, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert b"accept-encoding: identity\r\n" in heard.lower()
    assert heard.lower().count(b"accept-encoding") == 1


@pytest.mark.parametrize("answering", [a_dripping_body, a_dripping_head, endless_informational])
async def test_answer_sent_byte_by_byte_times_out(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte comes in time, and the answer never does."""
    monkeypatch.setattr("orchestrator.providers.http.aiohttp_transport.READ_TIMEOUT_SECONDS", 0.5)
    async with serving(answering) as url, create_http_client(1) as http:
        begun = time.perf_counter()
        with pytest.raises(httpx2.ReadTimeout, match="complete"):
            await http.get(url, {})
        with pytest.raises(httpx2.ReadTimeout, match="complete"):
            await http.sdk_client.post(url, content=b"{}", timeout=httpx2.Timeout(5.0, read=0.5))
        assert time.perf_counter() - begun < 30


async def test_long_upload_is_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for an answer begins when all of the request has left."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(20)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x"
            await asyncio.sleep(0.1)

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server, create_http_client(1) as http:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        limit = httpx2.Timeout(5.0, read=1.0)
        sent = await http.sdk_client.put(url, content=slowly(), headers={"content-length": "20"}, timeout=limit)
    assert sent.text == "ok"


async def test_answer_time_limit_starts_after_the_upload() -> None:
    async def whole() -> AsyncIterator[bytes]:
        yield b"xx"

    async with serving(a_dripping_body) as url, create_http_client(1) as http:
        with pytest.raises(httpx2.ReadTimeout, match="complete"):
            await http.sdk_client.put(
                url, content=whole(), headers={"content-length": "2"}, timeout=httpx2.Timeout(5.0, read=0.5)
            )


@pytest.mark.parametrize("dialect", [openai_provider, fireworks_provider])
async def test_too_large_answer_error_has_a_hint(dialect: Any) -> None:
    packed = bomb("gzip")
    name = ProviderName.OPENAI if dialect is openai_provider else ProviderName.FIREWORKS
    async with serving(lambda writer: compressed(writer, packed, "gzip")) as url, create_http_client(1) as http:
        account = Account(name="acme", provider=name, api_key="env:K", base_url=f"{url}/v1", organization="o")
        provider: Provider = dialect.build_provider_factory(http, Redactor())(account, Secret("sk-1234567890"))
        with pytest.raises(ProviderUnavailable) as looked:
            await provider.get_job("ftjob-1")
        order = JobOrder(tag="t", spec=TrainingSpec(base_model="m"), training_file="f", validation_file=None)
        with pytest.raises(UnknownOutcome) as created:
            await provider.create_job(order, Deadline(60.0, lambda: 0.0))
    assert CAPABILITIES[name] is provider.capabilities
    found: list[ProviderError] = [looked.value, created.value]
    for error in found:
        assert "16 MiB" in error.message
    assert "base_url" in looked.value.hint


async def test_slow_server_does_not_delay_other_calls() -> None:
    """Sixty calls hang at one server; another answers as if they were not there."""
    waiting: set[asyncio.Task[Any]] = set()

    async def ok(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async with serving(a_dripping_body) as slow, serving(ok) as good, create_http_client(5) as http:
        waiting = {asyncio.create_task(http.get(slow, {})) for _ in range(60)}
        await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            assert (await http.get(good, {})).content == b"ok"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_webhooks_answer_is_not_decompressed() -> None:
    packed = bomb("gzip")
    before = peak_bytes()

    async def refuse(writer: asyncio.StreamWriter) -> None:
        await compressed(writer, packed, "gzip", status="500 No")

    payload = Notification(topic=Topic.MODEL_READY, at=0.0, account="acme", fine_tuned_model="ft:x").to_payload()
    delivery = Delivery(id=1, message="m", target="t", topic=Topic.MODEL_READY, payload=payload, created_at=0.0)
    async with serving(refuse) as url, webhook_client() as http:
        error = await WebhookSender(http, url, Secret("whsec_" + "c2VjcmV0" * 4), Redactor())(delivery, 0.0)
    assert error is not None
    assert error.startswith("500")
    assert peak_bytes() - before < 30 * MEGABYTE
