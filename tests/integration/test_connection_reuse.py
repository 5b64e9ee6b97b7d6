"""Servers that close connections under a call, and servers that speak another HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from company_network import Authority, listen_on_free_port

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ProviderUnavailable, UnknownOutcome
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.base import Deadline, JobOrder
from orchestrator.providers.http.certificates import build_ssl_context
from orchestrator.providers.http.client import create_http_client
from orchestrator.providers.http.deadline import send_deadline
from orchestrator.providers.http.network import NetworkConfig
from orchestrator.providers.openai import openai_provider

SETTINGS = bytes.fromhex(
    "00001204000000000000030000006400040000ffff000500004000"
)  # the first frame of every HTTP/2 server
GOAWAY = bytes.fromhex("0000080700000000000000000000000001")


class ImpatientServer:
    """Answers one request on a connection and closes it under the next: a close that is always on its way."""

    def __init__(self) -> None:
        self.answered: list[bytes] = []
        self.cut: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.answered.append((await self._request(reader)).partition(b" ")[0])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        self.cut.append((await self._request(reader)).partition(b" ")[0])

    async def _request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
        return head


@pytest.fixture
async def impatient() -> AsyncIterator[tuple[ImpatientServer, str]]:
    server = ImpatientServer()
    async with listen_on_free_port(server) as port:
        yield server, f"http://127.0.0.1:{port}"


async def test_paid_requests_never_reuse_a_connection(
    impatient: tuple[ImpatientServer, str],
) -> None:
    server, url = impatient
    async with create_http_client(2) as http:
        for _ in range(5):
            assert (await http.sdk_client.get(url)).text == "ok"
            with send_deadline(Deadline(10.0, lambda: 0.0)):
                assert (await http.sdk_client.post(url, content=b"{}")).text == "ok"
    assert server.answered.count(b"POST") == 5
    assert b"POST" not in server.cut


async def test_reads_retry_and_stop_reusing_closed_connections(impatient: tuple[ImpatientServer, str]) -> None:
    server, url = impatient
    async with create_http_client(2) as http:
        for _ in range(10):
            assert (await http.get(url, {})).content == b"ok"
            assert (await http.sdk_client.get(url)).text == "ok"
    assert len(server.cut) == 1


async def test_calls_use_fresh_connections_after_a_lost_one(impatient: tuple[ImpatientServer, str]) -> None:
    """A call that is no read is not repeated: it may have had its effect. The next one does not suffer the same."""
    server, url = impatient
    async with create_http_client(2) as http:
        await http.sdk_client.post(url, content=b"{}")
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.sdk_client.post(url, content=b"{}")
        for _ in range(5):
            assert (await http.sdk_client.post(url, content=b"{}")).text == "ok"
    assert server.cut.count(b"POST") == 1


async def test_reads_reuse_one_connection_of_a_stable_server(impatient: tuple[ImpatientServer, str]) -> None:
    connections = 0

    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()

    async with listen_on_free_port(patient) as port, create_http_client(2) as http:
        for _ in range(20):
            await http.get(f"http://127.0.0.1:{port}", {})
    assert connections == 1


@pytest.mark.parametrize("alpn", [("h2",), ("h2", "http/1.1")])
async def test_http2_only_server_is_named(tmp_path: Path, alpn: tuple[str, ...]) -> None:
    """It refuses in the handshake, or it answers with frames whatever was agreed on."""
    authority = Authority(tmp_path)
    order = JobOrder(tag="t", spec=TrainingSpec(base_model="m"), training_file="f", validation_file=None)

    async def frames(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SETTINGS)
        await reader.read(10)
        writer.write(GOAWAY)
        await writer.drain()

    network = NetworkConfig(ssl_context=build_ssl_context(authority.file, {}))
    async with (
        listen_on_free_port(frames, authority.server("localhost", alpn=alpn)) as port,
        create_http_client(2, network) as http,
    ):
        account = Account(
            name="acme", provider=ProviderName.OPENAI, api_key="env:K", base_url=f"https://localhost:{port}/v1"
        )
        provider = openai_provider.build_provider_factory(http, Redactor())(account, Secret("sk-1234567890"))
        with pytest.raises(ProviderUnavailable, match="speaks only HTTP/2") as caught:
            await provider.get_job("j")
        assert "HTTP/1.1" in caught.value.hint
        with pytest.raises(UnknownOutcome, match="speaks only HTTP/2"):
            await provider.create_job(order, Deadline(60.0, lambda: 0.0))


async def test_http2_without_tls_is_named() -> None:
    async def frames(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SETTINGS)
        await reader.read(10)
        writer.write(GOAWAY)
        await writer.drain()

    async with listen_on_free_port(frames) as port, create_http_client(2) as http:
        with pytest.raises(httpx2.TransportError, match="speaks only HTTP/2"):
            await http.get(f"http://127.0.0.1:{port}", {})
