"""The machine under the service: files that become read-only or damaged, a full disk, kills in the middle of work."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from machine_speed import scale_seconds
from processes import PROGRAM, Site, eventually
from store_values import NOW

from orchestrator.app.backup import create_backup, restore_backup
from orchestrator.core.capabilities import WireFormat
from orchestrator.core.errors import ConfigError, DatabaseUnavailable
from orchestrator.dataset.browse.index_builder import build_index
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.convert.converted_file import get_converted_file
from orchestrator.dataset.rules import DatasetRules
from orchestrator.settings import Settings, load_settings
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction

SMALL_FILE_BYTES = 4_096
POOL_SIZE = 5


async def note(tx: Transaction) -> None:
    tx.add_events(EventData(at=NOW, cause="test", note="x"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "orchestrator.db"


@pytest.fixture
async def database(file: Path) -> AsyncIterator[Database]:
    opened = Database(f"sqlite:///{file}")
    await opened.migrate()
    await opened.write(note)
    yield opened
    await opened.close()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take away the right to write, also from root."""
    everything = [folder, *folder.iterdir()]
    for parent in [*folder.parents][:-2]:
        parent.chmod(0o755)
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.geteuid() == 0:
        os.seteuid(65_534)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield
    for path in everything:
        path.chmod(0o755 if path.is_dir() else 0o644)


def read_bytes(file: Path) -> bytes:
    return file.read_bytes()


def write_bytes(file: Path, content: bytes) -> None:
    """Overwrite the file in place."""
    with file.open("r+b") as opened:
        opened.write(content)


async def count_failed_writes(database: Database, count: int) -> int:
    failed = 0
    for _ in range(count):
        try:
            await database.write(note)
        except DatabaseUnavailable:
            failed += 1
    return failed


async def test_database_that_was_read_only_for_a_while_accepts_changes_again(database: Database, file: Path) -> None:
    with read_only(file.parent):
        async with AsyncExitStack() as stack:
            for _ in range(POOL_SIZE):
                await stack.enter_async_context(database.read())

    assert await count_failed_writes(database, 2 * POOL_SIZE) <= 1  # the first finds out that its connection is old


async def test_damaged_database_is_an_outage_until_its_content_is_put_back(database: Database, file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    intact = read_bytes(file)
    write_bytes(file, intact[:4_096] + b"\xff" * (len(intact) - 4_096))

    assert await count_failed_writes(database, 3) == 3
    write_bytes(file, intact)

    assert await count_failed_writes(database, 5) <= 1


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file can become larger than `size`: the write fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def settings_in(folder: Path) -> Settings:
    return load_settings({"ORCHESTRATOR_DATA_DIR": str(folder)})


def write_chats(folder: Path) -> Path:
    folder.mkdir()
    for number in range(60):
        messages = [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": "a" * 200}]
        (folder / f"{number}.json").write_text(json.dumps(messages))
    return folder


def list_files(folder: Path) -> list[str]:
    names = [str(path.relative_to(folder)) for path in folder.rglob("*")]
    return sorted(name for name in names if not name.endswith((".lock", "-shm", "-wal")))


@pytest.fixture
async def whole(tmp_path: Path) -> Settings:
    """Prepare a data folder with a database and a dataset."""
    settings = settings_in(tmp_path / "whole")
    opened = Database(settings.database_url)
    await opened.migrate()
    await opened.close()
    build_dataset(write_chats(tmp_path / "chats"), settings.data_dir / "datasets", DatasetRules())
    return settings


async def test_full_disk_leaves_no_half_file(whole: Settings, tmp_path: Path) -> None:
    datasets = whole.data_dir / "datasets"
    part = build_dataset(tmp_path / "chats", datasets, DatasetRules()).dataset.training
    create_backup(whole, tmp_path / "backup.tar")
    before = list_files(tmp_path)
    attempts: list[Callable[[], object]] = [
        lambda: build_dataset(tmp_path / "chats", datasets, DatasetRules(seed=1, validation_fraction=0.2)),
        lambda: get_converted_file(part, WireFormat.GEMINI),
        lambda: build_index(part.path, "sandbox-small"),
        lambda: create_backup(whole, tmp_path / "second.tar"),
        lambda: restore_backup(settings_in(tmp_path / "elsewhere"), tmp_path / "backup.tar"),
    ]

    for number, attempt in enumerate(attempts):
        with full_disk(SMALL_FILE_BYTES if number != 2 else 0), pytest.raises((OSError, ConfigError)):
            attempt()

    assert [name for name in list_files(tmp_path) if not name.startswith("elsewhere")] == before
    assert [name for name in list_files(tmp_path) if name.endswith(".db")] == ["whole/orchestrator.db"]


async def test_backup_of_a_read_only_database_names_the_permission(whole: Settings, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "backup.tar"
    target.parent.mkdir(mode=0o777)
    target.parent.chmod(0o777)
    with read_only(whole.data_dir), pytest.raises(ConfigError, match="cannot be copied") as refused:
        create_backup(whole, target)
    assert "as the service's user" in refused.value.hint
    assert "disk" not in refused.value.hint
    assert list_files(target.parent) == []


KILL_AT = """\
import os, signal, sys
from pathlib import Path
left = int(sys.argv[1])
def stop_at(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
"""
RESTORE = """\
from orchestrator.app.backup import restore_backup, create_backup
from orchestrator.settings import load_settings
os.fsync, Path.replace, Path.rename = stop_at(os.fsync), stop_at(Path.replace), stop_at(Path.rename)
settings = load_settings({"ORCHESTRATOR_DATA_DIR": sys.argv[2]})
{"restore": restore_backup, "backup": create_backup}[sys.argv[3]](settings, Path(sys.argv[4]))
"""
MIGRATE = """\
import asyncio, sqlite3
from sqlalchemy import event, Engine
from orchestrator.store.db.database import Database
event.listen(Engine, "before_cursor_execute", stop_at(lambda *_: None))
asyncio.run(Database(sys.argv[2]).migrate())
"""


def run_and_kill(script: str, at: int, *arguments: str) -> bool:
    """Run the script and kill it at this call. Returns whether it was killed."""
    command = [sys.executable, "-c", KILL_AT + script, str(at), *arguments]
    code = subprocess.run(command, check=False, capture_output=True).returncode
    assert code in {0, -signal.SIGKILL}
    return code != 0


async def test_restore_that_was_killed_can_be_repeated(whole: Settings, tmp_path: Path) -> None:
    create_backup(whole, tmp_path / "backup.tar")
    target = tmp_path / "restored"
    for at in (2, 4):  # after the extraction, and between the last dataset and the database
        assert run_and_kill(RESTORE, at, str(target), "restore", str(tmp_path / "backup.tar"))
        assert not (target / "orchestrator.db").exists()

    restore_backup(settings_in(target), tmp_path / "backup.tar")
    assert [name for name in list_files(target) if name[0] != "."] == list_files(whole.data_dir)


async def test_what_killed_backups_left_is_deleted_after_a_day(whole: Settings, tmp_path: Path) -> None:
    target = tmp_path / "backups" / "backup.tar"
    assert run_and_kill(RESTORE, 1, str(whole.data_dir), "backup", str(target))
    assert len(list_files(target.parent)) > 1
    for left in list_folder(target.parent):
        os.utime(left, (0, 0))

    create_backup(whole, target)

    assert list_files(target.parent) == ["backup.tar"]


def list_folder(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_damaged_database_file_is_explained(tmp_path: Path) -> None:
    write_new_file(tmp_path / "orchestrator.db", b"\xff" * 20_000)

    with pytest.raises(ConfigError, match="file is not a database") as caught:
        await Database(f"sqlite:///{tmp_path / 'orchestrator.db'}").migrate()

    assert "orchestrator restore" in caught.value.hint


def write_new_file(file: Path, content: bytes) -> None:
    file.write_bytes(content)


async def test_backup_that_was_killed_leaves_no_half_archive(whole: Settings, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    assert run_and_kill(RESTORE, 2, str(whole.data_dir), "backup", str(target))
    assert not target.exists()

    create_backup(whole, target)
    restore_backup(settings_in(tmp_path / "elsewhere"), target)


async def test_migration_that_was_killed_is_repeated(tmp_path: Path) -> None:
    for at in (12, 40):
        url = f"sqlite:///{tmp_path / f'{at}.db'}"
        assert run_and_kill(MIGRATE, at, url)
        database = Database(url)
        await database.migrate()
        await database.write(note)
        await database.close()


UNKNOWN_USER = 61_234
KEEP_READING = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")  # the program may be root's


@pytest.fixture
def strange_site(tmp_path: Path) -> Iterator[Site]:
    """A deployment whose provider does not answer, and whose user has no name and no home."""
    site = Site(tmp_path, "http://127.0.0.1:9/v1")
    site.write_accounts("acme")
    if os.geteuid() == 0:
        for parent in [*tmp_path.parents][:-2]:
            parent.chmod(0o755)
        for path in [tmp_path, *tmp_path.rglob("*")]:
            os.chown(path, UNKNOWN_USER, UNKNOWN_USER)
    yield site
    site.close()


def start_service(site: Site, redirects: str) -> subprocess.Popen[bytes]:
    """Start the service without a home and, as root, as a user without a name; its streams lead elsewhere."""
    user = ["setpriv", "--reuid", str(UNKNOWN_USER), "--clear-groups", *KEEP_READING] if os.geteuid() == 0 else []
    command = ["sh", "-c", f'exec "$@" {redirects}', "sh", *user, *PROGRAM, "serve"]
    environ = {name: value for name, value in site.environ.items() if name not in {"HOME", "USER", "LOGNAME"}}
    with (site.folder / "log").open("ab") as log_file:
        return subprocess.Popen(
            command,
            cwd=site.folder,
            env=environ | {"ORCHESTRATOR_PORT": "0", "PYTHONDONTWRITEBYTECODE": "1"},
            stderr=log_file,
        )


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_service_without_home_user_and_streams_ends_after_two_signals(strange_site: Site) -> None:
    log_file = strange_site.folder / "log"
    serving = start_service(strange_site, "<&- >&-")
    try:
        eventually(lambda: "service.ready" in log_file.read_text(), "the service is ready")
        serving.send_signal(signal.SIGTERM)
        serving.send_signal(signal.SIGINT)
        assert serving.wait(scale_seconds(60)) in {0, 130}
    finally:
        serving.kill()
        serving.wait()

    assert "Traceback" not in log_file.read_text()


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None,
    reason="a network of its own needs root, unshare and ip",
)
def test_service_works_without_ipv4(tmp_path: Path) -> None:
    site = Site(tmp_path, "http://[::1]:9/v1")
    site.write_accounts("acme")
    without_ipv4 = 'ip link set lo up && ip addr del 127.0.0.1/8 dev lo && exec "$@"'
    command = ["unshare", "--net", "sh", "-c", without_ipv4, "sh", *PROGRAM, "serve"]

    environ = site.environ | {"ORCHESTRATOR_HOST": "::1", "ORCHESTRATOR_PORT": "0"}

    with (tmp_path / "log").open("ab") as output:
        serving = subprocess.Popen(command, cwd=tmp_path, env=environ, stderr=output)
    try:
        eventually(lambda: "service.ready" in (tmp_path / "log").read_text(), "the service is ready")
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(scale_seconds(60)) == 0
    finally:
        serving.kill()
        serving.wait()
