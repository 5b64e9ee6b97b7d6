"""SQLite, called on the event loop's own thread: a query takes less time than handing it to another thread.

Only calls that may take long run in a worker thread: waiting for another process's lock, the commit (which waits for
the disk), and long reads.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Executable, PoolProxiedConnection, Result, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext

from orchestrator.store.db.connection import StoreConnection, decode_json, shield_until_done
from orchestrator.store.db.open_files import OpenFiles
from orchestrator.system.private_files import create_private_file, create_private_folder

T = TypeVar("T")
BUSY_TIMEOUT_MILLISECONDS: Final = 5000
BEGIN_WRITE_SQL: Final = "BEGIN IMMEDIATE"
MAX_LONG_READS: Final = 3
"""Concurrent long reads; fewer than the pool has connections, because waiting for one would block the event loop."""


_LASTING_ERRORS: Final = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
)


class SqliteEngine:
    """One database file, in WAL mode."""

    def __init__(self, url: str, files: OpenFiles) -> None:
        self._files = files
        self._path = Path(make_url(url).database or "")
        self._engine = create_engine(url, pool_size=5, max_overflow=5, json_deserializer=decode_json)
        event.listen(self._engine, "do_connect", self._create_file)
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "connect", self._remember_file)
        event.listen(self._engine, "begin", _begin)
        event.listen(self._engine, "handle_error", _close_broken_connections)
        self._version_connection: PoolProxiedConnection | None = None
        self._long_read_slots = asyncio.Semaphore(MAX_LONG_READS)

    def _create_file(self, *_: object) -> None:
        """Create the file for its owner only. SQLite would use the umask; -wal and -shm inherit the file's mode."""
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
            self._files.check()  # again: the caller sends a paid request as soon as this is committed
            await _run_in_thread(connection.commit)

    write_unlocked = write  # SQLite has no leases, and every change needs its lock

    async def get_data_version(self) -> object:
        self._files.check()
        if self._version_connection is None:  # never writes, so its data_version changes with every commit
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
    """Calls SQLite on the event loop's thread."""

    async def run_sync(self, work: Callable[..., T], *arguments: Any) -> T:
        return work(self.sync_connection, *arguments)


class _ThreadConnection(StoreConnection):
    """Calls SQLite in a worker thread, which also fetches the rows."""

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
    connection.isolation_level = None  # SQLAlchemy sends BEGIN; the driver would send its own
    cursor = connection.cursor()
    # FULL: an intent that is lost in a power cut means a second paid job.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MILLISECONDS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _close_broken_connections(context: ExceptionContext) -> None:
    """Open new connections after an error that a connection keeps.

    One that was opened while the file was read-only stays read-only, and one keeps pages of a damaged file. In the
    pool it would refuse every few changes for ever, although the file has been repaired.
    """
    code = getattr(context.original_exception, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    if code in _LASTING_ERRORS:
        if context.connection is not None:
            # A connection that is closed in its transaction keeps the write lock while any statement refers to it.
            with suppress(sqlite3.Error):
                cast(sqlite3.Connection, context.connection.connection.driver_connection).rollback()
        context.is_disconnect = True


def _try_write_lock(connection: Connection) -> bool:
    """Take the write lock if it is free. Returns whether this connection holds it now; never waits."""
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
    # BEGIN IMMEDIATE takes the write lock: a read transaction that upgrades to a write can fail without waiting.
    if not connection.get_execution_options().get("writing"):
        connection.exec_driver_sql("BEGIN")
    elif not cast(sqlite3.Connection, connection.connection.driver_connection).in_transaction:
        connection.exec_driver_sql(BEGIN_WRITE_SQL)
