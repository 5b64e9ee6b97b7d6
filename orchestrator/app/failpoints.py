"""Failpoints for tests: kill the process at a named step of the reconciler, like `kill -9`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

FAILPOINT_VARIABLE = "CHAOS_CRASH_AT"


def build_failpoint(point: str | None) -> Callable[[str], None]:
    """Build the function that the reconciler calls with the name of each step. None kills at no step."""

    def reached(name: str) -> None:
        if point is not None and name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached
