from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, aclosing
from typing import Any

import pytest
from web_values import NOW, WebServiceDouble

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
        self.query_count = 0
        self.away = False
        self.program = WebServiceDouble().program(self._call)
        self.feed = EventBroadcaster(self.program)

    def grow(self, count: int = 1) -> None:
        """More happens, and this process knows at once."""
        self.lines += [line(len(self.lines) + number + 1) for number in range(count)]
        self.program.committed.set()

    async def _call(self, ask: Any, /, after: int = 0, *, limit: int = 0) -> Any:
        self.query_count += 1
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


async def read_events(stream: AsyncGenerator[Sequence[StoredEvent]], count: int) -> list[int]:
    """The numbers of so many lines."""
    heard: list[int] = []
    async for lines in stream:
        heard += [line.id for line in lines]
        if len(heard) >= count:
            break
    return heard


async def wait_for_streams(history: History, count: int) -> None:
    """Until so many listen, and the newest line is known."""
    await until(lambda: history.feed._listener_count == count and history.feed._poll_task is not None)


async def test_stream_starts_with_new_events() -> None:
    history = History(3)
    async with aclosing(history.feed.listen(None, LONG)) as stream:
        heard = asyncio.create_task(read_events(stream, 2))
        await wait_for_streams(history, 1)
        history.grow(2)
        assert await heard == [4, 5]


@pytest.mark.parametrize(("after", "first"), [(0, 1), (2, 3), (4, 5)])
async def test_stream_resumes_after_the_last_id(after: int, first: int) -> None:
    history = History(5)
    history.grow()
    async with aclosing(history.feed.listen(after, LONG)) as stream:
        assert await read_events(stream, 7 - first) == [*range(first, 7)]


async def test_unknown_last_id_starts_with_new_events() -> None:
    history = History(3)
    async with aclosing(history.feed.listen(999, LONG)) as stream:
        heard = asyncio.create_task(read_events(stream, 1))
        await wait_for_streams(history, 1)
        history.grow()
        assert await heard == [4]


async def test_slow_streams_receive_every_event_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "EVENTS_PER_QUERY", 7)
    monkeypatch.setattr(feeds, "MAX_RECENT_EVENTS", 20)
    history = History(100)
    streams = [history.feed.listen(after, LONG) for after in (0, 50, 99)]
    heard = [
        asyncio.create_task(read_events(stream, 160 - after))
        for stream, after in zip(streams, (0, 50, 99), strict=True)
    ]
    await wait_for_streams(history, 3)
    for _ in range(60):
        history.grow()
        await asyncio.sleep(0)
    assert [await each for each in heard] == [[*range(1, 161)], [*range(51, 161)], [*range(100, 161)]]
    for stream in streams:
        await stream.aclose()


async def test_one_query_serves_all_streams() -> None:
    history = History()
    streams = [history.feed.listen(None, LONG) for _ in range(50)]
    heard = [asyncio.create_task(read_events(stream, 1)) for stream in streams]
    await wait_for_streams(history, 50)
    before = history.query_count
    history.grow()
    assert await asyncio.gather(*heard) == [[1]] * 50
    assert history.query_count - before < 10
    for stream in streams:
        await stream.aclose()


async def test_silence_yields_a_keep_alive() -> None:
    history = History(1)
    async with aclosing(history.feed.listen(None, 0.001)) as stream:
        assert await anext(stream) == ()


async def test_stream_continues_after_a_database_outage() -> None:
    history = History(1)
    async with aclosing(history.feed.listen(None, LONG)) as stream:
        heard = asyncio.create_task(read_events(stream, 1))
        await wait_for_streams(history, 1)
        history.away = True
        history.grow()
        looks = history.query_count
        await until(lambda: history.query_count > looks)
        history.away = False
        assert await heard == [2]


async def test_every_stream_ends_with_the_process() -> None:
    history = History(1)
    streams = [history.feed.listen(None, LONG) for _ in range(3)]
    ended = [asyncio.create_task(read_events(stream, 1)) for stream in streams]
    await wait_for_streams(history, 3)
    history.program.stopping.set()
    history.program.committed.set()
    assert await asyncio.gather(*ended) == [[], [], []]


async def test_no_queries_without_streams() -> None:
    history = History(1)
    stream = history.feed.listen(None, 0.001)
    await anext(stream)
    looking = history.feed._poll_task
    assert looking is not None
    await stream.aclose()
    async with aclosing(history.feed.listen(0, LONG)) as again:  # at once: another look, not the one that ends
        assert await read_events(again, 1) == [1]
        await asyncio.wait([looking])
        assert looking.cancelled()
        heard = asyncio.create_task(read_events(again, 1))
        await asyncio.sleep(0)
        history.grow()
        assert await heard == [2]


def test_stream_count_is_limited() -> None:
    feed = History(1).feed
    with ExitStack() as places:
        for _ in range(199):
            places.enter_context(feed.acquire_slot())
        states = [feed.is_full]
        places.enter_context(feed.acquire_slot())
        states.append(feed.is_full)
    assert [*states, feed.is_full] == [False, True, False]
