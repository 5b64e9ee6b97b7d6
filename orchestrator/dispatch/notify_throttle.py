"""Notices: PostgreSQL tells of every change of the queue; that something has changed is enough, and now and then."""

from __future__ import annotations

import asyncio
from typing import Final

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.ports.driver import NotifyCallback

COALESCE_SECONDS: Final = (
    0.1  # seconds between two notices, so that what is due at about the same time is fetched together
)
TABLE_CHANGED_EVENT: Final = "table_changed_event"


class ThrottledDriver(AsyncpgDriver):
    """A driver that passes on the notice of a change at once, and those that follow as one."""

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
