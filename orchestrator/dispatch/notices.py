"""Notices: PostgreSQL tells of every change of the queue; that something has changed is enough, and now and then."""

from __future__ import annotations

import asyncio
from typing import Final

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.ports.driver import NotifyCallback

TOGETHER: Final = 0.1  # seconds between two notices, so that what is due at about the same time is fetched together
CHANGED: Final = "table_changed_event"


class FewNotices(AsyncpgDriver):
    """A driver that passes on the notice of a change at once, and those that follow as one."""

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        await super().add_listener(channel, _Few(callback))


class _Few:
    def __init__(self, callback: NotifyCallback) -> None:
        self._callback = callback
        self._resting = False
        self._latest: str | bytes | bytearray | None = None

    def __call__(self, payload: str | bytes | bytearray) -> None:
        if CHANGED not in str(payload):
            self._callback(payload)
        elif self._resting:
            self._latest = payload
        else:
            self._pass_on(payload)

    def _pass_on(self, payload: str | bytes | bytearray) -> None:
        self._callback(payload)
        self._resting, self._latest = True, None
        asyncio.get_running_loop().call_later(TOGETHER, self._rested)

    def _rested(self) -> None:
        self._resting = False
        if self._latest is not None:
            self._pass_on(self._latest)
