"""The clock interface. app/clock.py implements it with the system's clocks, tests with a fake."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Two clocks: one for times that are stored and shown, one for durations."""

    def now(self) -> float:
        """Return the seconds since the epoch, UTC. An administrator may set this clock, also backwards."""

    def boottime(self) -> float:
        """Return the seconds since a fixed moment. It advances while the process or the machine is suspended."""
