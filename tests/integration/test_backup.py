"""A backup is a consistent snapshot; a restore checks it first and overwrites nothing."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import tarfile
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from store_values import a_job, fill, read_job

from orchestrator.app.backup import create_backup, restore_backup
from orchestrator.app.database import exclusive_database_lock
from orchestrator.core.errors import ConfigError, DatabaseLocked
from orchestrator.settings import Settings, load_settings
from orchestrator.store.db.database import Database

LINE = b'{"messages": []}\n'
DATASET = f"{sha256(LINE).hexdigest()[:16]}.jsonl"


def settings_in(folder: Path) -> Settings:
    accounts = folder.parent / "accounts.toml"
    accounts.write_text("[run]\n")
    return load_settings({"ORCHESTRATOR_DATA_DIR": str(folder), "ORCHESTRATOR_ACCOUNTS_FILE": str(accounts)})


@pytest.fixture
async def kept(tmp_path: Path) -> Settings:
    """Create a database with a job, and a dataset."""
    settings = settings_in(tmp_path / "data")
    (settings.data_dir / "datasets").mkdir(parents=True)
    (settings.data_dir / "datasets" / DATASET).write_bytes(LINE)
    database = Database(settings.database_url)
    await database.migrate()
    await fill(database, [a_job("acme")])
    await database.close()
    return settings


def folder_of(path: Path) -> list[Path]:
    return list(path.parent.iterdir())


def packed(target: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(target, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target


async def test_backup_restores_all_files(kept: Settings, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    assert create_backup(kept, target) == ["orchestrator.db", f"datasets/{DATASET}", "accounts.toml"]
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder_of(target)) == ["accounts.toml", "backup.tar", "data"]

    elsewhere = settings_in(tmp_path / "elsewhere")
    assert restore_backup(elsewhere, target) == ["orchestrator.db", f"datasets/{DATASET}"]
    assert (elsewhere.data_dir / "datasets" / DATASET).read_bytes() == LINE
    before, after = Database(kept.database_url), Database(elsewhere.database_url)
    await after.migrate()
    assert await read_job(after, "acme") == await read_job(before, "acme")
    await before.close()
    await after.close()


async def test_backup_is_a_consistent_snapshot_during_writes(kept: Settings, tmp_path: Path) -> None:
    writer = sqlite3.connect(kept.data_dir / "orchestrator.db", isolation_level=None, check_same_thread=False)
    writer.execute("CREATE TABLE left (n INTEGER)")
    writer.execute("CREATE TABLE right (n INTEGER)")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("INSERT INTO left VALUES (1)")
            writer.execute("INSERT INTO right VALUES (1)")
            writer.execute("COMMIT")

    writing = asyncio.create_task(asyncio.to_thread(write))
    try:
        for number in range(5):
            await asyncio.to_thread(create_backup, kept, tmp_path / f"{number}.tar")
    finally:
        stop.set()
        await writing
    writer.close()
    rows = []
    for number in range(5):
        there = settings_in(tmp_path / f"there-{number}")
        restore_backup(there, tmp_path / f"{number}.tar")
        copy = sqlite3.connect(there.data_dir / "orchestrator.db")
        left, right = (copy.execute(f"SELECT count(*) FROM {side}").fetchone() for side in ("left", "right"))
        copy.close()
        assert left == right
        rows.append(left)
    assert rows[0] < rows[-1], "nothing was written meanwhile"


def test_backup_and_restore_overwrite_nothing(kept: Settings, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    target.write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        create_backup(kept, target)
    assert target.read_text() == "mine"
    with pytest.raises(ConfigError, match="there is a database already"):
        restore_backup(kept, target)
    left_over = settings_in(tmp_path / "elsewhere")
    left_over.data_dir.mkdir()
    (left_over.data_dir / "orchestrator.db-wal").touch()
    with pytest.raises(ConfigError, match=r"orchestrator\.db-wal"):
        restore_backup(left_over, target)


def test_restore_requires_a_stopped_service(kept: Settings, tmp_path: Path) -> None:
    create_backup(kept, tmp_path / "backup.tar")
    elsewhere = settings_in(tmp_path / "elsewhere")
    with exclusive_database_lock(elsewhere), pytest.raises(DatabaseLocked):
        restore_backup(elsewhere, tmp_path / "backup.tar")


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({}, "no database"),
        ({"orchestrator.db": b"no database"}, "is not a database"),
        ({"orchestrator.db": b""}, "is not a database"),
        ({"../orchestrator.db": b"x"}, r"it contains \.\./orchestrator\.db"),
        ({"datasets/../../x.jsonl": b"x"}, "it contains datasets"),
        ({f"datasets/{DATASET}": b"other"}, "no database"),
    ],
)
def test_invalid_archive_is_not_restored(members: dict[str, bytes], why: str, tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "data")
    with pytest.raises(ConfigError, match=why):
        restore_backup(settings, packed(tmp_path / "backup.tar", members))
    assert [path.name for path in settings.data_dir.rglob("*") if path.suffix != ".lock"] == []


def test_damaged_backup_is_refused(kept: Settings, tmp_path: Path) -> None:
    create_backup(kept, tmp_path / "backup.tar")
    elsewhere = settings_in(tmp_path / "elsewhere")
    whole = (tmp_path / "backup.tar").read_bytes()
    (tmp_path / "half.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"half\.tar is not a complete tar file"):
        restore_backup(elsewhere, tmp_path / "half.tar")
    (tmp_path / "changed.tar").write_bytes(whole.replace(LINE, LINE.upper()))
    with pytest.raises(ConfigError, match=f"the content of {DATASET} does not match its name"):
        restore_backup(elsewhere, tmp_path / "changed.tar")
    with pytest.raises(ConfigError, match=r"nowhere\.tar: No such file"):
        restore_backup(elsewhere, tmp_path / "nowhere.tar")


def test_backup_of_a_newer_schema_is_refused(kept: Settings, tmp_path: Path) -> None:
    with sqlite3.connect(kept.data_dir / "orchestrator.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(ConfigError, match="newer version of the program"):
        create_backup(kept, tmp_path / "backup.tar")


def test_backup_without_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no database"):
        create_backup(settings_in(tmp_path / "data"), tmp_path / "backup.tar")


def test_postgresql_backup_refers_to_its_own_tools(tmp_path: Path) -> None:
    url = "postgresql://me:secret@db.example.com/jobs?sslmode=require"
    settings = load_settings({"ORCHESTRATOR_DATABASE_URL": url})
    for ask, tool in [(create_backup, "pg_dump"), (restore_backup, "pg_restore")]:
        with pytest.raises(ConfigError) as caught:
            ask(settings, tmp_path / "backup.tar")
        assert f"{tool} " in caught.value.hint
        assert "'postgresql://me@db.example.com/jobs'" in caught.value.hint
        assert "secret" not in caught.value.hint + caught.value.message
