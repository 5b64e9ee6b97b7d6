"""Clock: the machine's time. The one place that asks; everybody else is handed it."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.time()  # noqa: TID251 - the one place that asks

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
