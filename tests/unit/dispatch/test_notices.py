"""What is passed on of the many notices of a queue that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.dispatch import notify_throttle

Tell = Callable[[str], None]


class Connection:
    """Stands where asyncpg's connection stands."""

    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None:
        self.tell: Tell = lambda payload: callback(self, 1, channel, payload)


async def listening(monkeypatch: pytest.MonkeyPatch) -> tuple[Tell, list[str]]:
    monkeypatch.setattr(notify_throttle, "COALESCE_SECONDS", 0.0)
    told: list[str] = []
    connection = Connection()
    await notify_throttle.ThrottledDriver(connection).add_listener(
        "channel", lambda payload: told.append(str(payload))
    )
    return connection.tell, told


def changed(what: str) -> str:
    return f'{{"type": "{notify_throttle.TABLE_CHANGED_EVENT}", "operation": "{what}"}}'


async def rested() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_the_first_change_is_told_at_once_and_those_after_it_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tell, told = await listening(monkeypatch)
    for what in ("insert", "update", "delete"):
        tell(changed(what))
    assert told == [changed("insert")]
    await rested()
    assert told == [changed("insert"), changed("delete")]
    await rested()
    assert len(told) == 2
    tell(changed("truncate"))
    assert told[-1] == changed("truncate")


async def test_what_is_no_change_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    tell, told = await listening(monkeypatch)
    for payload in (changed("insert"), "health", changed("update"), "cancelled"):
        tell(payload)
    assert told == [changed("insert"), "health", "cancelled"]
