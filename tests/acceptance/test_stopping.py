"""Stopping in the middle, and going on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from processes import Sandbox, Site, eventually

QUICK = [f"quick-{number:02}" for number in range(25)]
STUCK = [f"stuck-{number:02}" for number in range(25)]


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One of its own: the calls that are cut off stay with it for a minute."""
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield sandbox
    sandbox.stop()


def listening(url: str) -> socket.socket:
    """A connection on which the service tells what happened and happens."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname or "", address.port or 0), timeout=30)
    request = "GET /api/v1/events?after=0 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    connection.sendall(request.encode())
    assert connection.recv(15) == b"HTTP/1.1 200 OK"
    return connection


def test_sigterm_in_the_middle_of_fifty_uploads(site: Site, sandbox: Sandbox) -> None:
    """Half of the uploads end while it stops; the other half never would, is cut off and looked up later.

    Someone listens to what happens meanwhile, and is no reason to wait.
    """
    site.accounts(*QUICK, *STUCK)
    sandbox.faults(
        {"kind": "slow", "operations": ["files.create"], "accounts": ["quick-*"], "seconds": 4},
        {"kind": "slow", "operations": ["files.create"], "accounts": ["stuck-*"], "seconds": 60},
    )
    service = site.start("serve", "--port", "0", ORCHESTRATOR_INTENT_SECONDS="11")
    eventually(lambda: service.said().count('"upload started"') == 50, "fifty uploads under way")
    listener = listening(service.find(r"(http://\S+)/status"))
    stopped = service.stop(seconds=40)  # of the sixty that a stuck one takes
    assert stopped.code == 0, stopped.err
    assert "Traceback" not in stopped.err
    heard = listener.makefile("rb").read()  # to the end
    listener.close()
    assert heard.count(b"event: job\n") >= 50
    assert b"upload started" in heard
    held = sandbox.held()
    assert set(held) == set(QUICK), "what could end has ended"
    assert (1, 0) in held.values(), "it stopped in the middle"
    assert stopped.err.count('"file uploaded"') == len(QUICK)

    sandbox.faults()
    again = site.run("run", ORCHESTRATOR_INTENT_SECONDS="11")
    assert again.code == 0, again.err
    assert sandbox.held() == dict.fromkeys([*QUICK, *STUCK], (1, 1))
    assert len(set(site.run("models", "--json").json.values())) == 50
