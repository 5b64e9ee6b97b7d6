"""Descriptors: raises the number of files this process may open, and shares it out.

Every connection, database file, provider call and dataset file takes a file descriptor. Many systems allow a process
1,024 of them. If clients of the web server could take all, no database could be opened any more. So the web server
gets a share, and the rest is kept for the work itself.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

from orchestrator.core.errors import ConfigError
from orchestrator.settings import PREFIX

WANTED_DESCRIPTORS: Final = 8192  # enough for everything; not more, because programs that we start inherit it
MIN_DESCRIPTORS: Final = 96
BASE_RESERVE: Final = 128  # database, its pool, log, loop, files; and sockets that are just being closed
DESCRIPTORS_PER_CALL: Final = 2  # a provider call has a socket, and an upload the file as well
MAX_DEFAULT_CONNECTIONS: Final = 1000  # each may hold some 64 kB of headers: memory is limited, too


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files towards the hard one, and return it. Raises ConfigError if it is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, most = (WANTED_DESCRIPTORS if each == resource.RLIM_INFINITY else each for each in (soft, hard))
    wanted = min(WANTED_DESCRIPTORS, most)
    if wanted > soft:
        with suppress(OSError, ValueError):  # some systems have a third limit beneath the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft < MIN_DESCRIPTORS:
        raise ConfigError(
            f"this process may open {soft} files only, and needs at least {MIN_DESCRIPTORS}",
            hint="Raise the limit of open files: `ulimit -n 1024` in a shell, LimitNOFILE=1024 in a systemd unit.",
        )
    return soft


def compute_max_connections(descriptors: int, *, max_in_flight: int, requested: int | None) -> int:
    """How many connections the web server may keep open; at least a quarter of all descriptors."""
    reserve = BASE_RESERVE + DESCRIPTORS_PER_CALL * max_in_flight
    available = max(descriptors - reserve, descriptors // 4)
    if requested is not None and requested > available:
        raise ConfigError(
            f"{PREFIX}MAX_CONNECTIONS is {requested}, but this process may open {descriptors} files, "
            f"{reserve} of which are kept for the database and provider calls",
            hint=f"Set it to {available} or less, or raise the limit of open files "
            "(`ulimit -n`, or LimitNOFILE in a systemd unit).",
        )
    return requested or min(available, MAX_DEFAULT_CONNECTIONS)
