"""Signals between the start of `serve` and its event loop: while modules are imported and the database is migrated.

A container's first process ignores SIGTERM unless it has a handler, and SIGHUP ends a process that has none. The
event loop's own handlers take these over later (`cli/handlers/serve.py`).
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def handle_early_signals() -> None:
    """Have SIGTERM end the process at once, and SIGHUP be ignored: everything is still going to be read.

    A handler that does nothing and not SIG_IGN, which child processes would inherit.
    """
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGHUP, _ignore)


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)  # nothing has begun; a migration that is cut off is rolled back by the database


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass
