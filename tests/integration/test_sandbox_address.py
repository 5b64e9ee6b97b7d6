"""The address that the sandbox prints is one that it answers at."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress

import httpx2
import pytest
from machine_speed import scale_seconds

from orchestrator.cli.handlers import sandbox
from orchestrator.sandbox import SandboxSettings
from orchestrator.sandbox.server import open_listener


def listens(host: str) -> bool:
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_printed_address_answers(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not listens(host):
        pytest.skip(f"this machine has no address {host}")
    serving = asyncio.create_task(sandbox._serve_until_stopped(host, 0, SandboxSettings()))
    printed = ""
    async with asyncio.timeout(scale_seconds(60)):
        while "\n" not in printed and not serving.done():
            await asyncio.sleep(0.01)
            printed += capsys.readouterr().out
    (url,) = re.findall(r"^sandbox: (\S+)$", printed, re.MULTILINE)
    async with httpx2.AsyncClient(headers={"authorization": "Bearer sandbox-acme"}) as client:
        assert (await client.get(f"{url}/models")).status_code == 200
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


def test_answers_do_not_wait_for_the_acknowledgement_of_their_head() -> None:
    with open_listener("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
