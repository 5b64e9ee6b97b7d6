"""Clock: what time it is, for those who must ask. app/clock.py has the real one."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Two clocks, in seconds."""

    def now(self) -> float:
        """Since the epoch, UTC."""

    def boottime(self) -> float:
        """Since some fixed moment; goes on while the process, or the machine, is frozen."""
