"""Crash: tests only. The process dies at a named point of the reconciler, as `kill -9` would have it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

FAILPOINT_VARIABLE = "CHAOS_CRASH_AT"


def build_failpoint(point: str | None) -> Callable[[str], None]:
    """Kill this process the moment it reaches the named point, as `kill -9` would."""

    def reached(name: str) -> None:
        if point is not None and name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached
