"""What the contract of dispatch means for several replicas on one PostgreSQL."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from dispatch_bench import (
    REPLICA_TIMEOUT_SECONDS,
    DispatchBench,
    RecordingHandler,
    job,
    now,
    repeat_step,
    running,
    slow_step,
    wait_until,
)
from machine_speed import scale_seconds
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.domain.types import QueueEntrypoint, QueueManagerId
from pgqueuer.ports.repository import EntrypointExecutionParameter
from sqlalchemy import text

from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.transitions import Outcome, renew_intent, sleep_until
from orchestrator.dispatch import wakeup_queue
from orchestrator.store.db.transaction import WakeUp
from orchestrator.store.queries import replicas


@pytest.fixture
async def bench(postgres_url: str) -> AsyncIterator[DispatchBench]:
    bench = DispatchBench(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
    await bench.open()
    yield bench
    await bench.close()


async def test_replicas_share_jobs_and_dispatch_none_twice(bench: DispatchBench) -> None:
    await bench.add(*(job(str(number)) for number in range(40)))
    one, other = RecordingHandler(bench.database, slow_step(0.05)), RecordingHandler(bench.database, slow_step(0.05))
    async with running(await bench.create_dispatch(4), one), running(await bench.create_dispatch(4), other):
        await wait_until(lambda: len(one.handed) + len(other.handed) == 40)
        await asyncio.sleep(0.3)
    assert sorted(one.ids + other.ids, key=int) == [str(number) for number in range(40)]
    assert min(len(one.handed), len(other.handed)) >= 4


async def test_account_has_one_job_in_progress_across_replicas(bench: DispatchBench) -> None:
    await bench.add(*(job(f"{account}{number}", account) for account in "abc" for number in range(3)))
    handler = RecordingHandler(bench.database, repeat_step(0.05, times=2))
    async with running(await bench.create_dispatch(4), handler), running(await bench.create_dispatch(4), handler):
        await wait_until(lambda: len(handler.handed) == 18)
    assert handler.most_on_an_account == 1
    assert {handler.ids.count(each) for each in set(handler.ids)} == {2}


async def test_job_is_dispatched_while_another_replica_writes(bench: DispatchBench) -> None:
    """Only the outcomes of a job need the write lock: to be dispatched, it waits for nobody."""
    await bench.add(job("a"))
    dispatch, handler = await bench.create_dispatch(), RecordingHandler(bench.database)
    async with bench.database_without_notifications.transaction() as tx, running(dispatch, handler):
        until = now() + scale_seconds(60)
        while not handler.was_handed("a") and now() < until:  # the server ends a transaction that does nothing
            await tx.connection.execute(text("SELECT pg_sleep(0.05)"))
        assert handler.was_handed("a")


async def test_jobs_of_a_dead_replica_are_taken_over_after_its_timeout(bench: DispatchBench) -> None:
    """It was killed after it had got the wake-up and leased the account."""
    await bench.add(job("a"))
    await bench.renew_replica("dead", lasting=REPLICA_TIMEOUT_SECONDS)
    async with bench.database.listener_connection() as connection:
        picked = await wakeup_queue.build_queries(AsyncpgDriver(connection)).dequeue(
            1,
            {QueueEntrypoint(wakeup_queue.ENTRYPOINT): EntrypointExecutionParameter(concurrency_limit=0)},
            QueueManagerId(uuid.uuid4()),
            None,
            timedelta(seconds=REPLICA_TIMEOUT_SECONDS),
        )
    assert len(picked) == 1
    killed_at = now()
    assert await bench.database.write(lambda tx: replicas.acquire_leases(tx, [JobId("a")], "dead", killed_at))
    handler = RecordingHandler(bench.database)
    async with running(await bench.create_dispatch(), handler):
        await wait_until(lambda: handler.ids == ["a"])
        [at] = handler.times("a")
        assert at - killed_at >= REPLICA_TIMEOUT_SECONDS
        await asyncio.sleep(0.3)
    assert handler.ids == ["a"]


async def test_duplicate_wake_up_dispatches_once(bench: DispatchBench) -> None:
    waiting = job("a", wake_in=0.3)
    await bench.add(waiting)
    assert waiting.wake_at is not None
    token = wakeup_queue.encode_wake_up(WakeUp(waiting.id, waiting.account, waiting.wake_at))
    for _ in range(5):
        await bench.database.write(lambda tx: wakeup_queue.enqueue(tx.connection, [token], [0.0], [None]))
    handler = RecordingHandler(bench.database)
    async with running(await bench.create_dispatch(), handler):
        await wait_until(lambda: handler.ids == ["a"])
        await asyncio.sleep(1.2)
    assert handler.ids == ["a"]
    [at] = handler.times("a")
    assert at >= waiting.wake_at


async def test_interrupted_job_is_dispatched_when_its_intent_ends(bench: DispatchBench) -> None:
    """An intent has no wake-up of its own: whoever wrote it goes on, unless something happened to it."""
    await bench.add(job("a"))
    until_then: list[float] = []

    async def step(job: Job) -> Outcome:
        if until_then:
            return sleep_until(job, None)
        until_then.append(now() + 0.5)
        return renew_intent(job, until=until_then[0])

    handler = RecordingHandler(bench.database, step)
    async with running(await bench.create_dispatch(), handler):
        await wait_until(lambda: len(handler.handed) == 1)
        await wait_until(lambda: len(handler.handed) == 2)
    assert handler.times("a")[1] >= until_then[0]


async def test_lease_with_a_lost_release_expires(bench: DispatchBench) -> None:
    await bench.add(job("a"), job("b", wake_in=60))
    dispatch = await bench.create_dispatch(name="one")
    assert await bench.database.write(lambda tx: replicas.acquire_leases(tx, [JobId("b")], "one", now() + 60))
    async with (
        running(dispatch, RecordingHandler(bench.database, slow_step(60))),
        bench.database.read() as connection,
    ):
        async with asyncio.timeout(scale_seconds(60)):
            while await replicas.list_leased_accounts(connection, "one") != {"account-a"}:  # noqa: ASYNC110 - as in `until`
                await asyncio.sleep(0.05)
        dispatch.stop()
        dispatch.abort()
