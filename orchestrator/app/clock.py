"""The clock of the machine. All other code receives a clock as an argument, so that tests can set the time."""

from __future__ import annotations

import time


class SystemClock:
    """The wall clock and the boot clock of the machine, in seconds."""

    def now(self) -> float:
        """Return the wall-clock time in epoch seconds. It jumps when the clock is set."""
        return time.time()  # noqa: TID251 - the only place that reads the clock

    def boottime(self) -> float:
        """Return the seconds since boot. It never jumps, and counts suspended time, unlike `time.monotonic`."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
