from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, aclosing
from typing import Any

import pytest
from web_values import NOW, Service

from orchestrator import status
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.status import StoredEvent
from orchestrator.web.api import event_broadcaster as feeds
from orchestrator.web.api.event_broadcaster import EventBroadcaster

LONG = 60.0  # seconds: no test waits for it


class History:
    """A history that grows, and how often it was looked at."""

    def __init__(self, length: int = 0) -> None:
        self.lines = [line(number + 1) for number in range(length)]
        self.looks = 0
        self.away = False
        self.program = Service().program(self._call)
        self.feed = EventBroadcaster(self.program)

    def grow(self, count: int = 1) -> None:
        """More happens, and this process knows at once."""
        self.lines += [line(len(self.lines) + number + 1) for number in range(count)]
        self.program.committed.set()

    async def _call(self, ask: Any, /, after: int = 0, *, limit: int = 0) -> Any:
        self.looks += 1
        if self.away:
            raise DatabaseUnavailable("the database does not answer")
        if ask is status.get_latest_event_id:
            return len(self.lines)
        return self.lines[after : after + limit]


def line(number: int) -> StoredEvent:
    return StoredEvent(id=number, at=NOW, cause="service", note="remote started", account="acme")


async def until(condition: Callable[[], bool]) -> None:
    """Let the others go on until it is so."""
    while not condition():  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.001)


async def hear(stream: AsyncGenerator[Sequence[StoredEvent]], count: int) -> list[int]:
    """The numbers of so many lines."""
    heard: list[int] = []
    async for lines in stream:
        heard += [line.id for line in lines]
        if len(heard) >= count:
            break
    return heard


async def listening(history: History, count: int) -> None:
    """Until so many listen, and the newest line is known."""
    await until(lambda: history.feed._listener_count == count and history.feed._poll_task is not None)


async def test_from_now_on() -> None:
    history = History(3)
    async with aclosing(history.feed.listen(None, LONG)) as stream:
        heard = asyncio.create_task(hear(stream, 2))
        await listening(history, 1)
        history.grow(2)
        assert await heard == [4, 5]


@pytest.mark.parametrize(("after", "first"), [(0, 1), (2, 3), (4, 5)])
async def test_taken_up_where_it_was_lost(after: int, first: int) -> None:
    history = History(5)
    history.grow()
    async with aclosing(history.feed.listen(after, LONG)) as stream:
        assert await hear(stream, 7 - first) == [*range(first, 7)]


async def test_a_number_of_another_history_is_from_now_on() -> None:
    history = History(3)
    async with aclosing(history.feed.listen(999, LONG)) as stream:
        heard = asyncio.create_task(hear(stream, 1))
        await listening(history, 1)
        history.grow()
        assert await heard == [4]


async def test_nothing_is_lost_or_told_twice_however_far_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "EVENTS_PER_QUERY", 7)
    monkeypatch.setattr(feeds, "MAX_RECENT_EVENTS", 20)
    history = History(100)
    streams = [history.feed.listen(after, LONG) for after in (0, 50, 99)]
    heard = [
        asyncio.create_task(hear(stream, 160 - after)) for stream, after in zip(streams, (0, 50, 99), strict=True)
    ]
    await listening(history, 3)
    for _ in range(60):
        history.grow()
        await asyncio.sleep(0)
    assert [await each for each in heard] == [[*range(1, 161)], [*range(51, 161)], [*range(100, 161)]]
    for stream in streams:
        await stream.aclose()


async def test_one_look_serves_all() -> None:
    history = History()
    streams = [history.feed.listen(None, LONG) for _ in range(50)]
    heard = [asyncio.create_task(hear(stream, 1)) for stream in streams]
    await listening(history, 50)
    before = history.looks
    history.grow()
    assert await asyncio.gather(*heard) == [[1]] * 50
    assert history.looks - before < 10
    for stream in streams:
        await stream.aclose()


async def test_silence_is_told() -> None:
    history = History(1)
    async with aclosing(history.feed.listen(None, 0.001)) as stream:
        assert await anext(stream) == ()


async def test_it_goes_on_when_the_database_is_back() -> None:
    history = History(1)
    async with aclosing(history.feed.listen(None, LONG)) as stream:
        heard = asyncio.create_task(hear(stream, 1))
        await listening(history, 1)
        history.away = True
        history.grow()
        looks = history.looks
        await until(lambda: history.looks > looks)
        history.away = False
        assert await heard == [2]


async def test_every_stream_ends_with_the_process() -> None:
    history = History(1)
    streams = [history.feed.listen(None, LONG) for _ in range(3)]
    ended = [asyncio.create_task(hear(stream, 1)) for stream in streams]
    await listening(history, 3)
    history.program.stopping.set()
    history.program.committed.set()
    assert await asyncio.gather(*ended) == [[], [], []]


async def test_nobody_looks_when_nobody_listens() -> None:
    history = History(1)
    stream = history.feed.listen(None, 0.001)
    await anext(stream)
    looking = history.feed._poll_task
    assert looking is not None
    await stream.aclose()
    async with aclosing(history.feed.listen(0, LONG)) as again:  # at once: another look, not the one that ends
        assert await hear(again, 1) == [1]
        await asyncio.wait([looking])
        assert looking.cancelled()
        heard = asyncio.create_task(hear(again, 1))
        await asyncio.sleep(0)
        history.grow()
        assert await heard == [2]


def test_there_is_room_for_so_many() -> None:
    feed = History(1).feed
    with ExitStack() as places:
        for _ in range(199):
            places.enter_context(feed.acquire_slot())
        seen = [feed.is_full]
        places.enter_context(feed.acquire_slot())
        seen.append(feed.is_full)
    assert [*seen, feed.is_full] == [False, True, False]
