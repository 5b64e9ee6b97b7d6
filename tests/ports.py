"""Ports for programs that must be told theirs before they start."""

from __future__ import annotations

import random
import socket
import sys

FIRST, LAST = 20_000, 30_000  # below the ports that systems give to outgoing connections
_held: list[socket.socket] = []


def reserve_port() -> int:
    """A port of 127.0.0.1 on which nothing listens, and which no other test session gets while this process lives.

    A port that the system hands out (bind to 0) and that is closed again may be the source of anybody's next
    connection. Ports outside that range are only taken by programs that are configured so; among test sessions an
    abstract Unix socket, which the system removes with its process, marks a port as taken.
    """
    for port in random.SystemRandom().sample(range(FIRST, LAST), LAST - FIRST):
        if _mark(port) and _is_free(port):
            return port
    raise AssertionError(f"no free port from {FIRST} to {LAST}")


def _mark(port: int) -> bool:
    if sys.platform != "linux":  # no abstract sockets
        return True
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0orchestrator-test-port-{port}")
    except OSError:
        mark.close()
        return False
    _held.append(mark)
    return True


def _is_free(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False
