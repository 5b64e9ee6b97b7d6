"""Counts frequent events and reports the counts at most once a minute.

Any client that can reach the port can cause some events without limit. A log line for each would fill the disk.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

REPORT_INTERVAL_SECONDS: Final = 60.0
FIRST_REPORT_DELAY_SECONDS: Final = 1.0  # so that a burst is one report and not two

ReportCallback = Callable[[Mapping[str, int]], None]


class RateLimitedReporter:
    """Calls `report` with the number of events by key. Needs a running event loop.

    `add` never calls `report` itself: a timer does, so that reporting does not delay the response to a request.
    """

    def __init__(
        self,
        report: ReportCallback,
        *,
        interval_seconds: float = REPORT_INTERVAL_SECONDS,
        delay_seconds: float = FIRST_REPORT_DELAY_SECONDS,
    ) -> None:
        self._report = report
        self._interval = interval_seconds
        self._delay = delay_seconds
        self._counts: Counter[str] = Counter()
        self._next_report_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, key: str, count: int = 1) -> None:
        """Count events. Keys must come from a bounded set: all of them are kept until the next report."""
        self._counts[key] += count
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time() + self._delay, self._next_report_at), self.flush)

    def flush(self) -> None:
        """Report the counts since the last report, if there are any."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._next_report_at = asyncio.get_running_loop().time() + self._interval
        counts, self._counts = self._counts, Counter()
        self._report(counts)
