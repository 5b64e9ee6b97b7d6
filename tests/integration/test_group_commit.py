"""Group commit: what arrives while a commit runs goes together into the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import insert, select
from sqlalchemy import text as sql
from sqlalchemy.exc import IntegrityError
from store_values import NOW

from orchestrator.core.jobs.job import JobId
from orchestrator.store.db import group_commit as writer
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.group_commit import Change
from orchestrator.store.db.transaction import EventData, Transaction, WakeUp
from orchestrator.store.schema.tables import events as table
from orchestrator.store.schema.tables import run_jobs


def note(text: str, used: list[StoreConnection] | None = None) -> Change[str]:
    async def change(tx: Transaction) -> str:
        if used is not None:
            used.append(tx.connection)
        tx.add_events(EventData(at=NOW, cause="test", note=text))
        return text

    return change


async def broken(tx: Transaction) -> None:
    tx.add_events(EventData(at=NOW, cause="test", note="broken"))
    raise LookupError("not here")


async def notes(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(select(table.c.note).order_by(table.c.id))).scalars())


async def test_write_returns_after_its_commit(database: Database) -> None:
    for text in "abc":
        assert await database.write(note(text)) == text
        assert (await notes(database))[-1] == text


async def test_pending_writes_share_one_commit_in_order(database: Database) -> None:
    used: list[StoreConnection] = []
    texts = [str(number) for number in range(20)]
    assert await asyncio.gather(*(database.write(note(text, used)) for text in texts)) == texts
    assert await notes(database) == texts
    assert len({id(connection) for connection in used}) == 1


async def test_write_during_a_commit_joins_the_next_commit(database: Database) -> None:
    late: list[asyncio.Task[str]] = []
    used: list[StoreConnection] = []

    async def first(tx: Transaction) -> list[str]:
        late.extend(asyncio.create_task(database.write(note(text, used))) for text in "xyz")
        await asyncio.sleep(0)  # they have asked now
        tx.add_events(EventData(at=NOW, cause="test", note="first"))
        return []

    await database.write(first)
    assert not any(task.done() for task in late)
    assert await asyncio.gather(*late) == ["x", "y", "z"]
    assert await notes(database) == ["first", "x", "y", "z"]
    assert len(used) == 3
    assert all(connection is used[0] for connection in used)


async def test_failing_write_does_not_fail_its_group(database: Database) -> None:
    outcomes = await asyncio.gather(
        database.write(note("before")),
        database.write(broken),
        database.write(note("after")),
        return_exceptions=True,
    )
    assert [outcomes[0], outcomes[2]] == ["before", "after"]
    assert isinstance(outcomes[1], LookupError)
    assert await notes(database) == ["before", "after"]


async def test_rejected_write_does_not_fail_its_group(database: Database) -> None:
    async def orphan(tx: Transaction) -> None:
        await tx.connection.execute(insert(run_jobs).values(run_id="nobody", job_id="nobody"))

    outcomes = await asyncio.gather(
        database.write(note("before")),
        database.write(orphan),
        database.write(note("after")),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], IntegrityError)
    assert await notes(database) == ["before", "after"]


async def test_failing_write_alone_writes_nothing(database: Database) -> None:
    with pytest.raises(LookupError, match="not here"):
        await database.write(broken)
    assert await notes(database) == []
    assert await database.write(note("goes on")) == "goes on"


async def test_cancelled_caller_does_not_roll_back_its_write(database: Database) -> None:
    started = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(tx: Transaction) -> None:
        started.set()
        await go_on.wait()
        tx.add_events(EventData(at=NOW, cause="test", note="slow"))

    cancelled = asyncio.create_task(database.write(slow))
    await started.wait()
    waiting = asyncio.create_task(database.write(note("queued, then cancelled")))
    other = asyncio.create_task(database.write(note("other")))
    await asyncio.sleep(0)
    cancelled.cancel()
    waiting.cancel()
    go_on.set()
    assert await other == "other"
    assert await notes(database) == ["slow", "queued, then cancelled", "other"]
    assert cancelled.cancelled()
    assert waiting.cancelled()


async def test_close_waits_for_pending_writes(database: Database) -> None:
    tasks = [asyncio.create_task(database.write(note(text))) for text in "ab"]
    await asyncio.sleep(0)
    await database.close()
    assert [task.result() for task in tasks] == ["a", "b"]


@pytest.fixture
async def second(database_url: str, database: Database) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


async def test_two_processes_take_turns(database: Database, second: Database) -> None:
    async def count_and_add(tx: Transaction) -> int:
        seen = len((await tx.connection.execute(select(table.c.id))).all())
        await asyncio.sleep(0.001)  # give the other a chance to come between
        tx.add_events(EventData(at=NOW, cause="test", note=str(seen)))
        return seen

    async def writer(opened: Database) -> None:
        for _ in range(10):
            await opened.write(count_and_add)

    await asyncio.gather(writer(database), writer(second))
    assert await notes(database) == [str(number) for number in range(20)]


async def append_notes(tx: Transaction, texts: Sequence[str]) -> list[int]:
    """Says to each how many there were."""
    if "broken" in texts:
        raise LookupError("not here")
    tx.add_events(*(EventData(at=NOW, cause="test", note=text) for text in texts))
    return [len(texts)] * len(texts)


async def test_writes_with_the_same_work_are_one_call(database: Database) -> None:
    results = await asyncio.gather(
        database.write_batched(append_notes, "a"),
        database.write(note("b")),
        database.write_batched(append_notes, "c"),
        database.write(note("d")),
    )
    assert [*results] == [2, "b", 2, "d"]
    assert await notes(database) == ["a", "c", "b", "d"]
    assert await database.write_batched(append_notes, "e") == 1


async def test_failing_key_does_not_fail_other_keys_of_its_work(database: Database) -> None:
    results = await asyncio.gather(
        *(database.write_batched(append_notes, text) for text in ("a", "broken", "c")), return_exceptions=True
    )
    assert [results[0], results[2]] == [1, 1]
    assert isinstance(results[1], LookupError)
    assert await notes(database) == ["a", "c"]


async def test_deferrable_write_joins_the_next_commit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_DELAY_SECONDS", 1000)
    patient = asyncio.create_task(database.write_batched(append_notes, "a", deferrable=True))
    await asyncio.sleep(0.05)
    assert await notes(database) == []
    await database.write(note("b"))
    assert await patient == 1
    assert await notes(database) == ["a", "b"]


async def test_deferrable_write_alone_is_committed(database: Database) -> None:
    assert await database.write_batched(append_notes, "a", deferrable=True) == 1
    assert await notes(database) == ["a"]


async def test_transaction_commits_at_the_end_of_its_block(database: Database) -> None:
    database.committed.clear()
    async with database.transaction() as tx:
        tx.add_events(EventData(at=NOW, cause="test", note="in the block"))
        assert await notes(database) == []
        assert not database.committed.is_set()
    assert await notes(database) == ["in the block"]
    assert database.committed.is_set()


async def test_transaction_that_raises_writes_nothing(database: Database) -> None:
    database.committed.clear()
    with pytest.raises(LookupError, match="not here"):
        async with database.transaction() as tx:
            await broken(tx)
    assert not database.committed.is_set()
    assert await database.write(note("goes on")) == "goes on"
    assert await notes(database) == ["goes on"]


async def test_writes_wait_for_the_transaction_and_follow_it(database: Database) -> None:
    async with database.transaction() as tx:
        writes = [asyncio.create_task(database.write(note(text))) for text in "bc"]
        await asyncio.sleep(0.2)  # without taking turns they would begin now
        assert not any(task.done() for task in writes)
        tx.add_events(EventData(at=NOW, cause="test", note="a"))
    assert await asyncio.gather(*writes) == ["b", "c"]
    assert await notes(database) == ["a", "b", "c"]


async def test_cancelled_transaction_rolls_back_and_releases_its_turn(database: Database) -> None:
    inside = asyncio.Event()

    async def hang() -> None:
        async with database.transaction() as tx:
            tx.add_events(EventData(at=NOW, cause="test", note="never"))
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await inside.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert await database.write(note("after")) == "after"
    assert await notes(database) == ["after"]


async def test_caller_cancelled_within_a_statement_rolls_back(database: Database) -> None:
    slow = "SELECT 1" if database.is_sqlite else "SELECT pg_sleep(60)"
    inside = asyncio.Event()

    async def hang() -> None:
        async with database.transaction() as tx:
            await tx.connection.execute(insert(table).values(at=NOW, cause="test", note="never"))
            inside.set()
            await tx.connection.execute(sql(slow))
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await inside.wait()
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert await database.write(note("after")) == "after"
    assert await notes(database) == ["after"]


async def test_close_waits_for_a_transaction_under_way(database: Database) -> None:
    inside, finish = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with database.transaction() as tx:
            inside.set()
            await finish.wait()
            await note("last")(tx)

    writing = asyncio.create_task(write())
    await inside.wait()
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0.2)
    assert not closing.done()
    finish.set()
    await asyncio.gather(writing, closing)
    assert await notes(database) == ["last"]


async def test_commit_of_a_cancelled_caller_is_announced(database: Database) -> None:
    """Whoever follows the history must hear of a commit, also when nobody waits for it any more."""
    database.committed.clear()
    written = asyncio.Event()

    async def write() -> None:
        async with database.transaction() as tx:
            await note("late")(tx)
            written.set()

    task = asyncio.create_task(write())
    await written.wait()
    task.cancel()  # within the commit, or before it where the events are still on their way
    await asyncio.wait({task})
    assert task.cancelled()
    assert database.committed.is_set() or await notes(database) == []


async def test_wake_ups_are_enqueued_in_the_transaction(database_url: str, database: Database) -> None:
    """The queue gets them through the transaction's connection, after the events and before the commit."""
    enqueued: list[tuple[list[WakeUp], list[str]]] = []

    async def enqueue(connection: StoreConnection, wake_ups: Sequence[WakeUp]) -> None:
        written = list((await connection.execute(select(table.c.note).order_by(table.c.id))).scalars())
        enqueued.append((list(wake_ups), written))
        if len(enqueued) > 1:
            raise LookupError("the queue is gone")

    wake_up = WakeUp(JobId("job"), "acme", NOW)
    opened = Database(database_url, enqueue)

    async def commit(text: str) -> None:
        async with opened.transaction() as tx:
            tx.add_events(EventData(at=NOW, cause="test", note=text))
            tx.schedule_wake_ups([wake_up])

    try:
        await commit("a")
        assert enqueued == [([wake_up], ["a"])]
        with pytest.raises(LookupError):
            await commit("b")
        assert await notes(database) == ["a"], "without its wake-up the change is not committed"
    finally:
        await opened.close()
