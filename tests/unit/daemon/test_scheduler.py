"""The scheduler: intervals that no clock stops, cron lines that follow the clock, an end without noise."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import structlog
from structlog.testing import capture_logs

from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.daemon import scheduler as module
from orchestrator.daemon.scheduler import Scheduler, find_last_due_time

HOUR = 3600.0
LIMIT = 60  # seconds that a test waits at most


class Clock:
    """Two clocks. The boot clock is the loop's; the wall clock is set by the test."""

    def __init__(self) -> None:
        self.set_by = 0.0

    def now(self) -> float:
        return 1_800_000_000.0 + self.boottime() + self.set_by

    def boottime(self) -> float:
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def running(scheduler: Scheduler) -> AsyncIterator[None]:
    scheduler.start()
    try:
        yield
    finally:
        scheduler.stop()
        for _ in range(5):
            await asyncio.sleep(0)


def a_scheduler(clock: Clock | None = None) -> Scheduler:
    return Scheduler(clock=clock or Clock(), log=structlog.get_logger("test"))


def repeat_limited(times: int) -> tuple[Callable[[], Awaitable[None]], asyncio.Event]:
    """Work, and an event that is set once the work was called so many times from now on."""
    reached, left = asyncio.Event(), [times]

    async def work() -> None:
        left[0] -= 1
        if left[0] <= 0:
            reached.set()

    return work, reached


@pytest.mark.parametrize("step", [-HOUR, HOUR])
async def test_ticks_continue_after_a_clock_change(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    clock = Clock()
    scheduler = a_scheduler(clock)
    work, reached = repeat_limited(5)
    later, again = repeat_limited(5)

    async def first_before_the_step_then_after_it() -> None:
        await (later() if clock.set_by else work())

    scheduler.schedule_every(0.02, "often", first_before_the_step_then_after_it)
    steps: list[float] = []

    async def note_step(seconds: float) -> None:
        steps.append(seconds)

    scheduler.on_clock_set(note_step)
    with capture_logs() as lines:
        async with running(scheduler), asyncio.timeout(LIMIT):
            await reached.wait()
            clock.set_by = step
            await again.wait()
            assert scheduler.seconds_since_tick is not None
            assert 0 <= scheduler.seconds_since_tick < LIMIT
            await until(lambda: bool(steps))
    [line] = lines
    assert steps == [pytest.approx(step, abs=1)]
    assert (line["event"], f"{step:+.0f} s" in line["message"]) == ("clock.changed", True)


async def test_clock_follow_up_is_repeated_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    clock = Clock()
    scheduler = a_scheduler(clock)
    steps: list[float] = []
    settled: list[bool] = []

    async def fail_twice(seconds: float) -> None:
        steps.append(seconds)
        settled.append(scheduler.is_clock_settled)
        if len(steps) < 3:
            raise DatabaseUnavailable("away")

    scheduler.on_clock_set(fail_twice)
    settled.append(scheduler.is_clock_settled)
    with capture_logs() as lines:
        async with running(scheduler), asyncio.timeout(LIMIT):
            settled.append(scheduler.is_clock_settled)
            clock.set_by = -HOUR
            settled.append(scheduler.is_clock_settled)
            await until(lambda: len(steps) == 3 and scheduler.is_clock_settled)
            await asyncio.sleep(0.1)
    assert steps == [pytest.approx(-HOUR, abs=1)] * 3
    assert settled == [True, True, False] + [False] * 3
    assert [line["event"] for line in lines] == ["clock.changed"]


async def test_hanging_scheduler_is_silent_at_any_wall_clock_time() -> None:
    clock = Clock()
    scheduler = a_scheduler(clock)
    silences = [scheduler.seconds_since_tick]
    async with running(scheduler):
        clock.set_by = -HOUR
        silences.append(scheduler.seconds_since_tick)
    silences.append(scheduler.seconds_since_tick)
    before, during, after = silences
    assert during is not None
    assert 0 <= during < LIMIT
    assert (before, after) == (None, None)


async def test_clock_drift_is_not_a_clock_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    clock = Clock()
    scheduler = a_scheduler(clock)
    work, reached = repeat_limited(20)

    async def drift() -> None:
        clock.set_by += 0.5
        await work()

    scheduler.schedule_every(0.02, "drift", drift)
    with capture_logs() as lines:
        async with running(scheduler), asyncio.timeout(LIMIT):
            await reached.wait()
    assert lines == []


async def test_a_long_call_is_not_started_twice_and_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Moderating a run takes minutes; the tick that began it is due every two seconds."""
    scheduler = a_scheduler()
    begun, at_once, most = 0, 0, 0
    others, reached = repeat_limited(30)

    async def long() -> None:
        nonlocal begun, at_once, most
        begun, at_once = begun + 1, at_once + 1
        most = max(most, at_once)
        await reached.wait()
        at_once -= 1

    scheduler.schedule_every(0.01, "long", long)
    scheduler.schedule_every(0.01, "short", others)
    with caplog.at_level(logging.DEBUG), capture_logs() as lines:
        async with running(scheduler), asyncio.timeout(LIMIT):
            await reached.wait()
            assert (begun, most) == (1, 1)
    assert lines == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_failing_call_is_logged_and_called_again() -> None:
    scheduler = a_scheduler()
    work, reached = repeat_limited(3)

    async def fail() -> None:
        await work()
        raise LookupError("not here")

    scheduler.schedule_every(0.01, "bad", fail)
    with capture_logs() as lines:
        async with running(scheduler), asyncio.timeout(LIMIT):
            await reached.wait()
    assert {(line["event"], line["tick"]) for line in lines} == {("tick.failed", "bad")}
    assert len(lines) >= 2


async def test_an_outage_is_not_logged_by_every_tick() -> None:
    scheduler = a_scheduler()
    work, reached = repeat_limited(3)

    async def fail() -> None:
        await work()
        raise DatabaseUnavailable("the database cannot be used")

    scheduler.schedule_every(0.01, "away", fail)
    with capture_logs() as lines:
        async with running(scheduler), asyncio.timeout(LIMIT):
            await reached.wait()
    assert lines == []


async def test_a_cron_line_is_called_at_its_time_and_never_twice_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scheduler = a_scheduler()
    begun = asyncio.Event()

    async def long() -> None:
        begun.set()
        await asyncio.Event().wait()

    scheduler.schedule_cron("0 3 * * *", "schedule", long)
    with caplog.at_level(logging.DEBUG), capture_logs() as lines:
        async with running(scheduler), asyncio.timeout(LIMIT):
            make_due(scheduler)
            await begun.wait()
            make_due(scheduler)
            await until(lambda: bool(lines))
    assert [line["event"] for line in lines] == ["tick.skipped"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_cron_line_follows_a_clock_that_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock was an hour ahead: the work must not wait for the time that was computed on it."""
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    clock = Clock()
    scheduler = a_scheduler(clock)
    work, _ = repeat_limited(1)
    scheduler.schedule_cron("* * * * *", "schedule", work)
    async with running(scheduler), asyncio.timeout(LIMIT):
        job = scheduler._cron.get_job("schedule")
        far = datetime(2100, 1, 1, tzinfo=UTC)
        job.modify(next_run_time=far)
        clock.set_by = -HOUR
        await until(lambda: scheduler._cron.get_job("schedule").next_run_time != far)


@pytest.mark.parametrize("by_cron", [False, True])
async def test_stopping_in_the_middle_of_a_call_is_no_failure(
    by_cron: bool, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = a_scheduler()
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    if by_cron:
        scheduler.schedule_cron("0 3 * * *", "slow", work)
    else:
        scheduler.schedule_every(0.01, "slow", work)
    with caplog.at_level(logging.INFO), capture_logs() as lines:
        async with running(scheduler), asyncio.timeout(LIMIT):
            if by_cron:
                make_due(scheduler)
            await begun.wait()
    assert lines == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_stopping_before_a_call_that_is_due_has_begun_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """APScheduler's own executor logged an error with a traceback for a job that was cancelled before its begin."""
    scheduler = a_scheduler()
    called = asyncio.Event()

    async def work() -> None:
        called.set()

    scheduler.schedule_cron("0 3 * * *", "due", work)
    with caplog.at_level(logging.INFO):
        async with running(scheduler):
            make_due(scheduler)
            scheduler._cron._process_jobs()
            scheduler.stop()
            for _ in range(5):
                await asyncio.sleep(0)
    assert not called.is_set()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def until(done: Callable[[], bool]) -> None:
    while not done():  # noqa: ASYNC110 - nothing sets an event
        await asyncio.sleep(0.01)


def make_due(scheduler: Scheduler) -> None:
    """As if the time of each cron line had come."""
    for job in scheduler._cron.get_jobs():
        job.modify(next_run_time=datetime.now(UTC))  # noqa: TID251 - APScheduler reads the same clock


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-30T06:00:00.2", "2026-11-30T06:00:00"),
        ("2026-11-30T06:59:00", "2026-11-30T06:30:00"),
        ("2026-11-30T05:59:59", None),
        ("2026-11-30T08:00:00", None),
    ],
)
def test_last_due_time_of_a_cron_line(now: str, due: str | None) -> None:
    seconds = datetime.fromisoformat(f"{now}+00:00").timestamp()
    expected = None if due is None else datetime.fromisoformat(f"{due}+00:00").timestamp()
    assert find_last_due_time("0,30 6 * * mon", seconds) == expected
