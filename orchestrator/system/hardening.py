"""Keep keys out of core dumps, and tie a child process to its parent."""

from __future__ import annotations

import ctypes
import resource
import signal
from contextlib import suppress
from typing import Final

PR_SET_PDEATHSIG: Final = 1  # prctl(2)
PR_SET_DUMPABLE: Final = 4


def forbid_core_dumps() -> None:
    """Disable core dumps of this process: its memory contains keys.

    The limit alone does not stop a dump that goes through a program (`|` in core_pattern); where Linux offers it, the
    process is therefore not dumpable at all, which also keeps other processes of the same user from reading its
    memory. Child processes inherit the limit only.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    _prctl(PR_SET_DUMPABLE, 0)


def die_with_parent() -> None:
    """Make Linux kill this process when the thread that started it ends. Does nothing on other systems."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, argument: int) -> None:
    if prctl := getattr(ctypes.CDLL(None), "prctl", None):
        prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
