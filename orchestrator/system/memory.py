"""Reads the available memory and limits the memory of a process."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

DATASET_MEMORY_FRACTION: Final = 0.75  # of the memory there is, for the one process that reads the chats
_CGROUPS: Final = Path("/sys/fs/cgroup")


def default_memory_limit() -> int:
    """Return three quarters of the memory of the machine or, where that is less, of the container, in bytes."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(min(physical, *_list_container_limits(), physical) * DATASET_MEMORY_FRACTION)


def limit_memory(max_bytes: int) -> None:
    """Make every allocation beyond `limit` bytes fail: Python raises MemoryError, native code aborts.

    RLIMIT_DATA counts what may be written. RLIMIT_AS would count reserved addresses too, of which the threads and
    allocators of native libraries take many times what they use. Where the system has no such limit there is none.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (max_bytes, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _list_container_limits() -> Iterator[int]:
    """Yield the memory limits of the control groups of this process (version 2, or 1 as containers see it)."""
    files = [_CGROUPS / "memory.max", _CGROUPS / "memory" / "memory.limit_in_bytes"]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                own = _CGROUPS / line.removeprefix("0::/")
                files += [folder / "memory.max" for folder in (own, *own.parents) if folder.is_relative_to(_CGROUPS)]
    for file in files:
        with suppress(OSError, ValueError):  # not there, or "max"
            yield int(file.read_text())
