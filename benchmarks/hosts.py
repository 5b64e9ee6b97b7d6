"""Simulated hosts: network namespaces, each with a loopback interface of its own. Needs root and `ip`.

A process of the benchmark may listen within them: a socket stays in the namespace in which it was created.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
FOLDER = Path("/var/run/netns")
HERE = ""
"""The namespace of the benchmark itself."""


@contextmanager
def network_namespaces(count: int) -> Iterator[list[str]]:
    """Create this many namespaces; yield their names."""
    names = [f"bench-{os.getpid()}-{number}" for number in range(count)]
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def enter(name: str) -> list[str]:
    """The beginning of a command line that runs within a namespace."""
    return ["ip", "netns", "exec", name] if name else []


def listen_in(names: Sequence[str], port: int = 0) -> tuple[int, list[socket.socket]]:
    """Listen on 127.0.0.1 in each namespace, everywhere on the same port; return it with the sockets."""
    found = []
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    for name in names or [HERE]:
        if name:
            _move_to(os.open(FOLDER / name, os.O_RDONLY))
        listener = socket.create_server(("127.0.0.1", port), backlog=1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as PostgreSQL and web servers have it
        port = listener.getsockname()[1]
        found.append(listener)
        if name:
            _move_to(own)
    return port, found


def _move_to(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace")
