"""Stopping in the middle, and going on."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from machine_speed import scale_seconds
from processes import SandboxProcess, Site, eventually

QUICK_ACCOUNTS = [f"quick-{number:02}" for number in range(10)]  # a slow machine, too, records them in eight seconds
STUCK_ACCOUNTS = [f"stuck-{number:02}" for number in range(40)]
INTENT = f"{scale_seconds(11):g}"
QUICK_UPLOAD_STALL = {"kind": "stall", "operations": ["files.create"], "accounts": ["quick-*"]}
STUCK_UPLOAD_STALL = {"kind": "stall", "operations": ["files.create"], "accounts": ["stuck-*"]}


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """One of its own: the calls that are cut off stay with it for a minute."""
    sandbox = SandboxProcess(tmp_path_factory.mktemp("sandbox"))
    yield sandbox
    sandbox.stop()


def listening(url: str) -> socket.socket:
    """A connection on which the service tells what happened and happens."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname or "", address.port or 0), timeout=scale_seconds(60))
    request = "GET /api/v1/events?after=0 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    connection.sendall(request.encode())
    assert connection.recv(15) == b"HTTP/1.1 200 OK"
    return connection


def test_sigterm_during_fifty_uploads_stops_in_time(site: Site, sandbox: SandboxProcess) -> None:
    """Ten of the uploads end while it stops; the others never would, are cut off and looked up later.

    Someone listens to what happens meanwhile, and is no reason to wait.
    """
    site.write_accounts(*QUICK_ACCOUNTS, *STUCK_ACCOUNTS)
    sandbox.set_faults(QUICK_UPLOAD_STALL, STUCK_UPLOAD_STALL)
    service = site.start("serve", "--port", "0", ORCHESTRATOR_INTENT_SECONDS=INTENT)
    stalled = [len(QUICK_ACCOUNTS), len(STUCK_ACCOUNTS)]
    eventually(lambda: sandbox.count_fired_faults() == stalled, "fifty uploads under way")
    listener = listening(service.wait_for_output(r"(http://\S+)/status"))
    service.send(signal.SIGTERM)
    service.wait_for_output('("service.stopping")')
    sandbox.set_faults(STUCK_UPLOAD_STALL)
    stopped = service.result()  # the stuck ones would take for ever
    assert stopped.code == 0, stopped.err
    assert "Traceback" not in stopped.err
    heard = listener.makefile("rb").read()  # to the end
    listener.close()
    assert heard.count(b"event: job\n") >= 50
    assert b"upload started" in heard
    assert sandbox.count_files_and_jobs() == dict.fromkeys(QUICK_ACCOUNTS, (1, 0)), "uploads ended, no job began"
    assert stopped.err.count('"file uploaded"') == len(QUICK_ACCOUNTS)

    sandbox.set_faults()
    again = site.run("run", ORCHESTRATOR_INTENT_SECONDS=INTENT)
    assert again.code == 0, again.err
    assert sandbox.count_files_and_jobs() == dict.fromkeys([*QUICK_ACCOUNTS, *STUCK_ACCOUNTS], (1, 1))
    assert len(set(site.run("models", "--json").json.values())) == 50
