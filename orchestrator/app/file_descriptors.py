"""File descriptors: raises the limit of open files, and reserves a part of them for the service's own work.

Every connection, database file, provider call and dataset file needs a file descriptor. Many systems allow a process
1,024 of them. If clients of the web server could use all of them, the database could not be opened any more.
Therefore the web server gets a share, and the rest is reserved.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

from orchestrator.core.errors import ConfigError
from orchestrator.settings import PREFIX

TARGET_DESCRIPTORS: Final = 8192  # enough for all uses; not more, because child processes inherit the limit
MIN_DESCRIPTORS: Final = 96  # below it not even the database and one provider call are certain to work
BASE_RESERVE: Final = 128  # database and its pool, log, event loop, files, and sockets that are being closed
DESCRIPTORS_PER_CALL: Final = 2  # a provider call needs a socket, and an upload also its file
MAX_DEFAULT_CONNECTIONS: Final = 1000  # each can hold 64 kB of headers in memory


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files towards the hard limit, and return it.

    Raises ConfigError if it is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, maximum = (TARGET_DESCRIPTORS if each == resource.RLIM_INFINITY else each for each in (soft, hard))
    target = min(TARGET_DESCRIPTORS, maximum)
    if target > soft:
        with suppress(OSError, ValueError):  # some systems have a third limit below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            soft = target
    if soft < MIN_DESCRIPTORS:
        raise ConfigError(
            f"this process may open only {soft} files, but needs at least {MIN_DESCRIPTORS}",
            hint="Raise the limit of open files: `ulimit -n 1024` in a shell, LimitNOFILE=1024 in a systemd unit.",
        )
    return soft


def compute_max_connections(descriptors: int, *, max_in_flight: int, requested: int | None) -> int:
    """Return the maximum number of connections of the web server: at least a quarter of all descriptors.

    `requested` is the value of the setting. Raises ConfigError if it exceeds the available descriptors.
    """
    reserve = BASE_RESERVE + DESCRIPTORS_PER_CALL * max_in_flight
    available = max(descriptors - reserve, descriptors // 4)
    if requested is not None and requested > available:
        raise ConfigError(
            f"{PREFIX}MAX_CONNECTIONS is {requested}, but this process may open {descriptors} files, "
            f"{reserve} of which are reserved for the database and provider calls",
            hint=f"Set it to {available} or less, or raise the limit of open files "
            "(`ulimit -n`, or LimitNOFILE in a systemd unit).",
        )
    return requested or min(available, MAX_DEFAULT_CONNECTIONS)
