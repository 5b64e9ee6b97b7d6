"""A log that nobody reads: the service answers, does its work and stops when it is told to."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import httpx2
import pytest
from machine_speed import scale_seconds
from processes import HTTP, PROGRAM, Site, eventually

MIN_PIPE_BYTES = 4096


@pytest.fixture
def full_pipe() -> Iterator[tuple[int, int]]:
    """A pipe that takes not one byte more, with a reader that reads nothing: its two ends."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, MIN_PIPE_BYTES)
    os.write(write_end, b"-" * (MIN_PIPE_BYTES - 1) + b"\n")
    yield read_end, write_end
    os.close(read_end)


def start(site: Site, port: int, write_end: int) -> subprocess.Popen[bytes]:
    environ = site.environ | {"ORCHESTRATOR_PORT": str(port), "ORCHESTRATOR_LOG_FORMAT": "json"}
    process = subprocess.Popen(
        [*PROGRAM, "serve"], cwd=site.folder, env=environ, stdin=subprocess.DEVNULL, stderr=write_end
    )
    os.close(write_end)
    return process


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def succeeded(port: int) -> bool:
    try:
        status = HTTP.get(f"http://127.0.0.1:{port}/status").json()
    except httpx2.HTTPError:
        return False
    return [job["state"] for job in status["jobs"]] == ["succeeded"]


def test_service_with_an_unread_log_works_and_stops(site: Site, full_pipe: tuple[int, int]) -> None:
    site.write_accounts("one")
    port = free_port()
    process = start(site, port, full_pipe[1])
    try:
        eventually(lambda: succeeded(port), "the job succeeds", 120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(scale_seconds(60)) == 0
    finally:
        process.kill()
        process.wait()


def test_delayed_log_lines_are_whole_and_in_order(site: Site, full_pipe: tuple[int, int]) -> None:
    site.write_accounts("one")
    port = free_port()
    read_end, write_end = full_pipe
    process = start(site, port, write_end)
    try:
        eventually(lambda: succeeded(port), "the job succeeds", 120)
        process.send_signal(signal.SIGTERM)
        received = b""
        while part := os.read(read_end, 65536):
            received += part
        assert process.wait(scale_seconds(60)) == 0
    finally:
        process.kill()
        process.wait()
    _, *lines = [line for line in received.decode().splitlines() if line]
    events = [json.loads(line)["event"] for line in lines]
    assert events.index("service.ready") < events.index("service.stopping") < events.index("service.stopped")
    assert "model.ready" in events
    times = [json.loads(line)["timestamp"] for line in lines]
    assert times == sorted(times)
