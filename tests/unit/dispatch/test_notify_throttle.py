"""What is passed on of the many notices of a queue that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.dispatch import notify_throttle

Callback = Callable[[str], None]


class Connection:
    """Stands where asyncpg's connection stands."""

    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None:
        self.notify: Callback = lambda payload: callback(self, 1, channel, payload)


async def listening(monkeypatch: pytest.MonkeyPatch) -> tuple[Callback, list[str]]:
    monkeypatch.setattr(notify_throttle, "COALESCE_SECONDS", 0.0)
    forwarded: list[str] = []
    connection = Connection()
    await notify_throttle.ThrottledDriver(connection).add_listener(
        "channel", lambda payload: forwarded.append(str(payload))
    )
    return connection.notify, forwarded


def change_event(what: str) -> str:
    return f'{{"type": "{notify_throttle.TABLE_CHANGED_EVENT}", "operation": "{what}"}}'


async def wait_for_interval() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_first_change_notifies_at_once_and_later_changes_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    notify, forwarded = await listening(monkeypatch)
    for what in ("insert", "update", "delete"):
        notify(change_event(what))
    assert forwarded == [change_event("insert")]
    await wait_for_interval()
    assert forwarded == [change_event("insert"), change_event("delete")]
    await wait_for_interval()
    assert len(forwarded) == 2
    notify(change_event("truncate"))
    assert forwarded[-1] == change_event("truncate")


async def test_other_notifications_are_not_delayed(monkeypatch: pytest.MonkeyPatch) -> None:
    notify, forwarded = await listening(monkeypatch)
    for payload in (change_event("insert"), "health", change_event("update"), "cancelled"):
        notify(payload)
    assert forwarded == [change_event("insert"), "health", "cancelled"]
