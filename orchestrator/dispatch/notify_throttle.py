"""Limits the rate of PostgreSQL notifications: at most one callback for changes of the queue in an interval."""

from __future__ import annotations

import asyncio
from typing import Final

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.ports.driver import NotifyCallback

COALESCE_SECONDS: Final = 0.1  # between two callbacks, so that wake-ups of about the same time are fetched together
TABLE_CHANGED_EVENT: Final = "table_changed_event"


class ThrottledDriver(AsyncpgDriver):
    """A driver that forwards the first notification at once, and those of the next COALESCE_SECONDS as one."""

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        await super().add_listener(channel, _NotifyThrottle(callback))


class _NotifyThrottle:
    def __init__(self, callback: NotifyCallback) -> None:
        self._callback = callback
        self._is_throttled = False
        self._latest: str | bytes | bytearray | None = None

    def __call__(self, payload: str | bytes | bytearray) -> None:
        if TABLE_CHANGED_EVENT not in str(payload):
            self._callback(payload)
        elif self._is_throttled:
            self._latest = payload
        else:
            self._forward(payload)

    def _forward(self, payload: str | bytes | bytearray) -> None:
        self._callback(payload)
        self._is_throttled, self._latest = True, None
        asyncio.get_running_loop().call_later(COALESCE_SECONDS, self._end_interval)

    def _end_interval(self) -> None:
        self._is_throttled = False
        if self._latest is not None:
            self._forward(self._latest)
