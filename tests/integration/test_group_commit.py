"""Group commit: what arrives while a commit runs goes together into the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from store_values import NOW

from orchestrator.store.db import group_commit as writer
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.group_commit import Change
from orchestrator.store.queries import events
from orchestrator.store.schema.tables import events as table
from orchestrator.store.schema.tables import run_jobs


def note(text: str, used: list[StoreConnection] | None = None) -> Change[str]:
    async def change(connection: StoreConnection) -> str:
        if used is not None:
            used.append(connection)
        await events.append(connection, events.EventData(at=NOW, cause="test", note=text))
        return text

    return change


async def broken(connection: StoreConnection) -> None:
    await events.append(connection, events.EventData(at=NOW, cause="test", note="broken"))
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

    async def first(connection: StoreConnection) -> list[str]:
        late.extend(asyncio.create_task(database.write(note(text, used))) for text in "xyz")
        await asyncio.sleep(0)  # they have asked now
        await events.append(connection, events.EventData(at=NOW, cause="test", note="first"))
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
    async def orphan(connection: StoreConnection) -> None:
        await connection.execute(insert(run_jobs).values(run_id="nobody", job_id="nobody"))

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

    async def slow(connection: StoreConnection) -> None:
        started.set()
        await go_on.wait()
        await events.append(connection, events.EventData(at=NOW, cause="test", note="slow"))

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
    async def count_and_add(connection: StoreConnection) -> int:
        seen = len((await connection.execute(select(table.c.id))).all())
        await asyncio.sleep(0.001)  # give the other a chance to come between
        await events.append(connection, events.EventData(at=NOW, cause="test", note=str(seen)))
        return seen

    async def writer(opened: Database) -> None:
        for _ in range(10):
            await opened.write(count_and_add)

    await asyncio.gather(writer(database), writer(second))
    assert await notes(database) == [str(number) for number in range(20)]


async def append_notes(connection: StoreConnection, texts: Sequence[str]) -> list[int]:
    """Says to each how many there were."""
    if "broken" in texts:
        raise LookupError("not here")
    await events.append(connection, *(events.EventData(at=NOW, cause="test", note=text) for text in texts))
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
