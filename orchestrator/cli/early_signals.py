"""Signal handlers for the start of `serve`, while modules are imported and the database is migrated.

The first process of a container ignores SIGTERM unless it has a handler, and SIGHUP ends a process that has none. The
handlers of the event loop replace these later (`cli/handlers/serve.py`).
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def handle_early_signals() -> None:
    """Let SIGTERM end the process at once, and ignore SIGHUP: the files it refers to are read later anyway.

    The SIGHUP handler is a function and not SIG_IGN, because child processes would inherit SIG_IGN.
    """
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGHUP, _ignore)


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)  # no work has begun; the database rolls an interrupted migration back


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass
