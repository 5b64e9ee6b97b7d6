"""Clients that send half a request and then nothing, against a service that may open few files."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx2
import processes
import pytest
from machine_speed import scale_seconds
from ports import reserve_port
from processes import HTTP, RunningProgram, Site, eventually

HALF = b"GET / HTTP/1.1\r\nHost: x\r\n"
TOKEN = "a-token-of-thirty-two-characters"
FILES = 256
CONNECTIONS = 600

pytestmark = pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit (util-linux) is not installed")


@contextmanager
def limit_open_files(site: Site, max_files: int) -> Iterator[None]:
    """Programs that the site starts meanwhile may open so many files, and cannot raise that limit."""
    site.fresh = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "PROGRAM", ("prlimit", f"--nofile={max_files}:{max_files}", *processes.PROGRAM))
        yield


def flood(port: int, count: int = CONNECTIONS) -> list[socket.socket]:
    clients: list[socket.socket] = []
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", port), timeout=scale_seconds(60))
        with suppress(ConnectionError):
            client.sendall(HALF)
        clients.append(client)
    return clients


@pytest.fixture
def site(site: Site) -> Site:
    """Its limits are put before the command line: a fork of another process would not have them."""
    site.fresh = True
    return site


def serve(site: Site, port: int) -> RunningProgram:
    with limit_open_files(site, FILES):
        return site.start("serve", ORCHESTRATOR_PORT=f"{port}", ORCHESTRATOR_TOKEN=TOKEN)


def answers(port: int) -> bool:
    with suppress(httpx2.TransportError):
        return HTTP.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    return False


def test_half_sent_requests_do_not_stop_the_service(site: Site) -> None:
    site.write_accounts("acme", "globex")
    port = reserve_port()
    serving = serve(site, port)
    serving.wait_for_output('"event": "(service.ready)"')
    clients = flood(port)
    authenticated = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/healthz", "/readyz", "/status") * 3:
        answer = HTTP.get(f"http://127.0.0.1:{port}{path}", headers=authenticated)
        assert answer.status_code == 200, (path, answer.text)
    for client in clients:  # the server ends each of them, at the latest when its time is over
        with suppress(ConnectionError):
            while client.recv(1000):
                continue
        client.close()

    def models() -> bool:
        jobs = HTTP.get(f"http://127.0.0.1:{port}/status", headers=authenticated).json()["jobs"]
        return {job["state"] for job in jobs} == {"succeeded"}

    eventually(models, "both models")
    result = serving.stop()
    assert result.code == 0
    assert len(result.err) < 50_000
    assert "Traceback" not in result.err
    assert "database.unreachable" not in result.err
    lines = [line for line in result.log if line["event"] == "connections.refused"]
    assert 1 <= len(lines) <= 4, "one a minute, and one at the end"
    assert sum(line.get("closed_for_newer", 0) + line.get("too_slow", 0) for line in lines) > CONNECTIONS // 2


def test_a_start_among_half_sent_requests_succeeds(site: Site) -> None:
    site.write_accounts("acme")
    port = reserve_port()
    serving = serve(site, port)
    clients: list[socket.socket] = []
    try:
        while "service.ready" not in serving.output():
            assert not serving.ended, serving.output()[-3000:]
            with suppress(OSError):  # it does not listen yet, or has just closed this one for a newer one
                clients += flood(port, 50)
            while len(clients) > CONNECTIONS:  # however long the start takes, this process has files for so many
                clients.pop(0).close()
        eventually(lambda: answers(port), "an answer to /healthz")
    finally:
        for client in clients:
            client.close()
    assert "Traceback" not in serving.stop().err


def test_too_low_file_limit_is_one_clear_message(site: Site) -> None:
    site.write_accounts("acme")
    with limit_open_files(site, 64):
        result = site.run("serve", ORCHESTRATOR_PORT="0")
    assert result.code == 2
    assert "may open only 64 files" in result.err
    assert "ulimit -n" in result.err
    assert "Traceback" not in result.err


def test_connections_beyond_the_file_limit_are_one_clear_message(site: Site) -> None:
    site.write_accounts("acme")
    with limit_open_files(site, 512):
        result = site.run("serve", ORCHESTRATOR_PORT="0", ORCHESTRATOR_MAX_CONNECTIONS="500")
    assert result.code == 2
    assert "ORCHESTRATOR_MAX_CONNECTIONS is 500" in result.err
