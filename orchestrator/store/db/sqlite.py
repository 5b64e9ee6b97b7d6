"""SQLite, called on the event loop's own thread: a query takes less time there than the way to another thread.

Only what may take long is done elsewhere: waiting for another process's lock or for the disk at the commit, and
looking over a whole run.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Executable, PoolProxiedConnection, Result, create_engine, event, make_url

from orchestrator.store.db.connection import StoreConnection, decode_json, shield_until_done
from orchestrator.store.db.open_files import OpenFiles
from orchestrator.system.private_files import create_private_file, create_private_folder

T = TypeVar("T")
BUSY_TIMEOUT_MILLISECONDS: Final = 5000
BEGIN_WRITE_SQL: Final = "BEGIN IMMEDIATE"
MAX_LONG_READS: Final = 3
"""At once; fewer than the pool has connections, because whoever finds none there stops the event loop."""


class SqliteEngine:
    """One file, in WAL mode."""

    def __init__(self, url: str, files: OpenFiles) -> None:
        self._files = files
        self._path = Path(make_url(url).database or "")
        self._engine = create_engine(url, pool_size=5, max_overflow=5, json_deserializer=decode_json)
        event.listen(self._engine, "do_connect", self._create_file)
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "connect", self._remember_file)
        event.listen(self._engine, "begin", _begin)
        self._version_connection: PoolProxiedConnection | None = None
        self._long_read_slots = asyncio.Semaphore(MAX_LONG_READS)

    def _create_file(self, *_: object) -> None:
        """SQLite would make the file with the mode that the umask leaves, and its -wal and -shm with the same."""
        if self._path.name and not self._path.exists():
            try:
                create_private_folder(self._path.parent)
                create_private_file(self._path)
            except OSError as error:
                raise sqlite3.OperationalError(error.strerror) from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator[StoreConnection]:
        self._files.check()
        with self._engine.connect() as connection:
            yield _LoopConnection(connection)

    @asynccontextmanager
    async def read_long(self) -> AsyncIterator[StoreConnection]:
        async with self._long_read_slots:
            self._files.check()
            with self._engine.connect() as connection:
                yield _ThreadConnection(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[StoreConnection]:
        self._files.check()
        with self._engine.connect() as connection:
            connection.execution_options(writing=True)
            if _try_write_lock(connection):
                connection.begin()
            else:
                await _run_in_thread(connection.begin)
            yield _LoopConnection(connection)
            self._files.check()  # whoever waits for this commit will send something
            await _run_in_thread(connection.commit)

    async def get_data_version(self) -> object:
        self._files.check()
        if self._version_connection is None:  # never writes, so that SQLite tells it of every commit
            self._version_connection = self._engine.raw_connection()
        return self._version_connection.cursor().execute("PRAGMA data_version").fetchone()

    async def dispose(self) -> None:
        if self._version_connection is not None:
            self._version_connection.close()
            self._version_connection = None
        self._engine.dispose()

    def _remember_file(self, _connection: Any, _record: Any) -> None:
        if self._path.name:
            self._files.add(self._path, self._path.stat())


class _LoopConnection(StoreConnection):
    """Called where the event loop runs."""

    async def run_sync(self, work: Callable[..., T], *arguments: Any) -> T:
        return work(self.sync_connection, *arguments)


class _ThreadConnection(StoreConnection):
    """Called in another thread, results included."""

    async def run_sync(self, work: Callable[..., T], *arguments: Any) -> T:
        return await _run_in_thread(work, self.sync_connection, *arguments)

    async def execute(self, statement: Executable, values: Any = None) -> Any:
        return await self.run_sync(_execute_buffered, statement, values)


async def _run_in_thread(work: Callable[..., T], *arguments: Any) -> T:
    # Shielded: a caller that is cancelled would close a connection that the thread still uses.
    return await shield_until_done(asyncio.create_task(asyncio.to_thread(work, *arguments)))


def _execute_buffered(connection: Connection, statement: Executable, values: Any) -> Result[Any]:
    return connection.execute(statement, values).freeze()()


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN, the driver does not
    cursor = connection.cursor()
    # FULL, because an intent that a power cut takes away is a paid job doubled.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MILLISECONDS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _try_write_lock(connection: Connection) -> bool:
    """Whether nobody else holds the write lock, and this connection now does."""
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA busy_timeout=0")
    try:
        cursor.execute(BEGIN_WRITE_SQL)
    except sqlite3.OperationalError:
        return False
    finally:
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MILLISECONDS}")
        cursor.close()
    return True


def _begin(connection: Connection) -> None:
    # A writer takes its lock at once: a read transaction that turns into a write can fail without waiting.
    if not connection.get_execution_options().get("writing"):
        connection.exec_driver_sql("BEGIN")
    elif not cast(sqlite3.Connection, connection.connection.driver_connection).in_transaction:
        connection.exec_driver_sql(BEGIN_WRITE_SQL)
