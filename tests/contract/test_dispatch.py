"""The contract of dispatch, held by both adapters."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from functools import partial

import pytest
from dispatch_bench import (
    DispatchBench,
    RecordingHandler,
    job,
    meeting_step,
    now,
    park_step,
    repeat_step,
    running,
    slow_step,
    wait_until,
)
from machine_speed import scale_seconds

from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.transitions import Outcome, sleep_until
from orchestrator.dispatch import embedded, pgqueuer


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[DispatchBench]:
    bench = DispatchBench(database_url)
    await bench.open()
    yield bench
    await bench.close()


async def test_every_due_job_is_handed_out_once(bench: DispatchBench) -> None:
    await bench.add(*(job(str(number)) for number in range(50)))
    handler = RecordingHandler(bench.database)
    async with running(await bench.create_dispatch(), handler):
        await wait_until(lambda: len(handler.handed) == 50)
        await asyncio.sleep(0.3)
    assert sorted(handler.ids, key=int) == [str(number) for number in range(50)]


async def test_no_job_is_handed_out_before_its_time(bench: DispatchBench) -> None:
    waiting = [job(str(number), wake_in=0.2 * number) for number in range(1, 6)]
    await bench.add(*waiting)
    handler = RecordingHandler(bench.database)
    async with running(await bench.create_dispatch(), handler):
        await wait_until(lambda: len(handler.handed) == 5)
    for each in waiting:
        [at] = handler.times(each.id)
        assert each.wake_at is not None
        assert at >= each.wake_at


async def test_job_without_a_wake_up_is_not_dispatched(bench: DispatchBench) -> None:
    await bench.add(job("asleep", wake_in=None), job("later", wake_in=60))
    handler = RecordingHandler(bench.database)
    async with running(await bench.create_dispatch(), handler):
        await asyncio.sleep(0.7)
    assert handler.ids == []


async def test_job_is_dispatched_again_at_its_next_wake_up(bench: DispatchBench) -> None:
    await bench.add(*(job(name) for name in "abc"))
    handler = RecordingHandler(bench.database, repeat_step(0.2, times=4))
    async with running(await bench.create_dispatch(), handler):
        await wait_until(lambda: len(handler.handed) == 12)
    for name in "abc":
        times = handler.times(name)
        pauses = [after - before for before, after in itertools.pairwise(times)]
        assert all(pause >= 0.2 for pause in pauses), pauses


async def test_account_has_one_job_in_progress_at_a_time(bench: DispatchBench) -> None:
    await bench.add(*(job(f"{account}{number}", account) for account in "ab" for number in range(3)))
    handler = RecordingHandler(bench.database, meeting_step(2, 0.1))
    async with running(await bench.create_dispatch(), handler):
        await wait_until(lambda: len(handler.handed) == 6)
    assert sorted(handler.ids) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert (handler.most_on_an_account, handler.most_at_once) == (1, 2)


@pytest.mark.parametrize("most", [1, 3])
async def test_concurrency_limit_is_kept(bench: DispatchBench, most: int) -> None:
    await bench.add(*(job(str(number)) for number in range(12)))
    handler = RecordingHandler(bench.database, meeting_step(most, 0.2))
    async with running(await bench.create_dispatch(most), handler):
        await wait_until(lambda: len(handler.handed) == 12)
    assert handler.most_at_once == most


@pytest.mark.parametrize("slow", [60, 520])
async def test_slow_server_does_not_delay_other_servers(bench: DispatchBench, slow: int) -> None:
    """However many jobs of it are due, and however much earlier: jobs of others are handed out."""
    await bench.add(*(job(f"slow{number}", wake_in=-10.0) for number in range(slow)), job("good"), job("fine"))
    over = asyncio.Event()

    async def step(each: Job) -> Outcome:
        if each.id.startswith("slow"):
            await over.wait()
        return sleep_until(each, None)

    handler = RecordingHandler(bench.database, step)
    dispatch = await bench.create_dispatch(
        max_jobs=5, server_of=lambda account: "slow" if account.startswith("account-slow") else account
    )
    async with running(dispatch, handler):
        await wait_until(lambda: {"good", "fine"} <= set(handler.ids), seconds=100)
        dispatch.stop()
        over.set()


async def test_a_new_job_is_handed_out_at_once(bench: DispatchBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when the dispatch would have woken up by itself: that is in an hour."""
    for module in (embedded, pgqueuer):
        monkeypatch.setattr(module, "IDLE_POLL_SECONDS", 3600.0)
    handler = RecordingHandler(bench.database)
    dispatch = await bench.create_dispatch()
    async with running(dispatch, handler):
        for name in "abc":
            await asyncio.sleep(0.35)  # it has fallen asleep
            await bench.add(job(name))
            dispatch.wake()
            await wait_until(partial(handler.was_handed, name))


async def test_stop_finishes_running_jobs_and_dispatches_no_more(bench: DispatchBench) -> None:
    await bench.add(*(job(str(number)) for number in range(10)))
    ended: list[str] = []

    async def step(job: Job) -> Outcome:
        await asyncio.sleep(0.3)
        ended.append(job.id)
        return sleep_until(job, None)

    handler = RecordingHandler(bench.database, step)
    dispatch = await bench.create_dispatch(max_jobs=2)
    work = asyncio.create_task(dispatch.run(handler))
    await wait_until(lambda: len(handler.handed) == 2)
    dispatch.stop()
    async with asyncio.timeout(scale_seconds(60)):
        await work
    assert ended == handler.ids
    assert len(ended) == 2


async def test_aborted_job_is_dispatched_by_the_next_dispatcher(bench: DispatchBench) -> None:
    await bench.add(*(job(name) for name in "abc"))
    first = RecordingHandler(bench.database, slow_step(60))
    dispatch = await bench.create_dispatch()
    work = asyncio.create_task(dispatch.run(first))
    await wait_until(lambda: len(first.handed) == 3)
    dispatch.stop()
    dispatch.abort()
    async with asyncio.timeout(scale_seconds(60)):
        await work
    second = RecordingHandler(bench.database)
    async with running(await bench.create_dispatch(), second):
        await wait_until(lambda: sorted(second.ids) == ["a", "b", "c"])


async def test_job_that_stays_due_is_dispatched_again(bench: DispatchBench) -> None:
    """Whatever went wrong with it: an outcome that was not recorded is nothing that happened."""
    await bench.add(job("a"), job("b"))
    tries: list[str] = []

    async def step(job: Job) -> Outcome | None:
        tries.append(job.id)
        await asyncio.sleep(0.05)
        return None if tries.count(job.id) < 2 else sleep_until(job, None)

    handler = RecordingHandler(bench.database, step)
    async with running(await bench.create_dispatch(), handler):
        await wait_until(lambda: len(handler.handed) == 4)
        await asyncio.sleep(0.3)
    assert sorted(handler.ids) == ["a", "a", "b", "b"]


async def test_wake_up_without_notification_is_found(bench: DispatchBench) -> None:
    await bench.add(job("lost", wake_in=None), job("other", wake_in=None))
    handler = RecordingHandler(bench.database)
    async with running(await bench.create_dispatch(), handler):
        await asyncio.sleep(0.3)
        await bench.wake_silently("lost", now() - 5)
        await wait_until(lambda: handler.ids == ["lost"])


async def test_job_with_an_earlier_wake_up_is_dispatched_once(bench: DispatchBench) -> None:
    """The wake-up it had is no longer the current one."""
    await bench.add(job("a", wake_in=0.6))
    handler = RecordingHandler(bench.database, park_step)
    dispatch = await bench.create_dispatch()
    async with running(dispatch, handler):
        await bench.wake_silently("a", now() - 5)
        dispatch.wake()
        await wait_until(lambda: handler.ids == ["a"])
        await asyncio.sleep(0.8)
    assert handler.ids == ["a"]
