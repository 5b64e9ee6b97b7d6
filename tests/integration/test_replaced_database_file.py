"""SQLite: the database file or the lock file is deleted or replaced while the service uses it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from sqlalchemy import func, select
from store_values import NOW
from structlog.testing import capture_logs

from orchestrator.app.database import exclusive_database_lock
from orchestrator.app.web_backend import AppWebBackend
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.metrics import MetricsRecorder
from orchestrator.settings import load_settings
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.schema.tables import events as events_table

Change = Callable[[Path], None]


def delete(path: Path) -> None:
    path.unlink()


def replace_by_copy(path: Path) -> None:
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    copy.replace(path)


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def move(source: Path, target: Path) -> None:
    source.rename(target)


async def note(tx: Transaction) -> None:
    tx.add_events(EventData(at=NOW, cause="test", note="x"))


async def count(database: Database) -> int:
    async with database.read() as connection:
        return (await connection.execute(select(func.count()).select_from(events_table))).scalar_one()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "orchestrator.db"


@pytest.fixture
async def owned(file: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{file}")
    await database.migrate()
    with exclusive_database_lock(load_settings({"ORCHESTRATOR_DATABASE_URL": f"sqlite:///{file}"}), database):
        await database.write(note)
        yield database
    await database.close()


def inside(database: Database) -> AppWebBackend:
    ticking = cast(Any, SimpleNamespace(seconds_since_tick=0.0, problem=None, wake=None))
    clock = cast(Any, SimpleNamespace(now=lambda: NOW, boottime=lambda: NOW))
    return AppWebBackend(
        database, load_settings({}), ticking, cast(Any, None), clock, structlog.get_logger(), MetricsRecorder("1")
    )


@pytest.mark.parametrize("change", [delete, replace_by_copy, move_folder])
@pytest.mark.parametrize("suffix", ["", ".lock"])
async def test_replaced_database_file_stops_reads_and_writes(
    owned: Database, file: Path, suffix: str, change: Change
) -> None:
    assert (await inside(owned).get_health()).ready
    changed = file.with_name(file.name + suffix)
    change(changed)
    with capture_logs() as said:
        health = await inside(owned).get_health()
        for attempt in (owned.write(note), count(owned), owned.get_data_version()):
            with pytest.raises(DatabaseUnavailable, match="while the service uses it"):
                await attempt
    assert not health.ready
    assert health.reason == "the database file or its lock file was deleted or replaced"
    [line] = said
    assert line["event"] == "database.unreachable"
    assert "Stop the service" in line["hint"]
    assert not changed.exists() or change is replace_by_copy, "no new file was made"


async def test_write_in_progress_is_not_committed_to_a_moved_file(owned: Database, file: Path) -> None:
    async def note_while_the_file_is_moved(tx: Transaction) -> None:
        await note(tx)
        await asyncio.sleep(0)
        move(file, file.with_suffix(".away"))

    with pytest.raises(DatabaseUnavailable):
        await owned.write(note_while_the_file_is_moved)
    move(file.with_suffix(".away"), file)
    assert await count(owned) == 1


async def test_database_recovers_when_its_file_is_moved_back(owned: Database, file: Path) -> None:
    away = file.with_suffix(".away")
    move(file, away)
    with capture_logs() as said:
        with pytest.raises(DatabaseUnavailable):
            await owned.write(note)
        move(away, file)
        await owned.write(note)
    assert [line["event"] for line in said] == ["database.unreachable", "database.recovered"]
    assert await count(owned) == 2
    assert (await inside(owned).get_health()).ready


@pytest.mark.parametrize("seconds", [-3600.0, 31.0, None])
async def test_service_without_recent_ticks_is_not_ready(owned: Database, seconds: float | None) -> None:
    look = inside(owned)
    look._service = cast(Any, SimpleNamespace(seconds_since_tick=seconds, problem=None))
    health = await look.get_health()
    assert (health.database, health.ticking, health.ready) == (True, False, False)
    assert health.reason
