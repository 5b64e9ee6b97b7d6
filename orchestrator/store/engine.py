"""Engine: connections to either database, set up so that both behave alike: one writer at a time, no endless wait."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import Connection, PoolProxiedConnection, create_engine, event, make_url, text

from orchestrator.core.errors import ConfigError
from orchestrator.store.connection import AsyncConnection

T = TypeVar("T")
BUSY_MILLISECONDS = 5000
LOCK = "BEGIN IMMEDIATE"
SURVEYS = 3  # at once; fewer than the pool has connections, because whoever finds none there stops the event loop
WRITE_LOCK = 0x6F726368  # "orch": the advisory lock of whoever writes
CONNECTIONS = 10  # of a process; they stay, for the server takes longer to open one than to answer fifty queries
CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 15.0  # longer than the server's own limits: it ends a wait for a server that is gone
LIMITS = {  # milliseconds
    # A frozen replica may hold the lock: it is thrown out before those who wait for it give up.
    "idle_in_transaction_session_timeout": "2000",
    "lock_timeout": "6000",
    "statement_timeout": "10000",
}


class Engine(Protocol):
    """The ways to either database."""

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection to look with."""

    def survey(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for queries that take their time."""

    def write(self, **options: Any) -> AbstractAsyncContextManager[AsyncConnection]:
        """The only transaction that writes, with execution options; committed at the end."""

    async def mark(self) -> object:
        """Equal to an earlier one only if nothing was committed in between, by whoever it may be."""

    async def dispose(self) -> None:
        """Close every connection."""


def make_engine(url: str, *, patient: bool = False) -> Engine:
    """An engine for a SQLite or PostgreSQL URL. `patient`: for migrations, which may take long."""
    if make_url(url).get_backend_name() == "sqlite":
        return SqliteEngine(url)
    return PostgresEngine(url, patient=patient)


class SqliteEngine:
    """SQLite, called on the event loop's own thread: a query takes less time there than the way to another thread.

    Only what may take long is done elsewhere: waiting for another process's lock or for the disk at the commit, and
    looking over a whole run.
    """

    def __init__(self, url: str) -> None:
        if file := make_url(url).database:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(url, pool_size=5, max_overflow=5)
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)
        self._watcher: PoolProxiedConnection | None = None
        self._surveys = asyncio.Semaphore(SURVEYS)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        with self._engine.connect() as connection:
            yield cast(AsyncConnection, _Inline(connection))

    @asynccontextmanager
    async def survey(self) -> AsyncIterator[AsyncConnection]:
        async with self._surveys:
            with self._engine.connect() as connection:
                yield cast(AsyncConnection, _Aside(connection))

    @asynccontextmanager
    async def write(self, **options: Any) -> AsyncIterator[AsyncConnection]:
        with self._engine.connect() as connection:
            connection.execution_options(writing=True, **options)
            if _locks_at_once(connection):
                connection.begin()
            else:
                await asyncio.to_thread(connection.begin)
            yield cast(AsyncConnection, _Inline(connection))
            await asyncio.to_thread(connection.commit)

    async def mark(self) -> object:
        if self._watcher is None:  # never writes, so that SQLite tells it of every commit
            self._watcher = self._engine.raw_connection()
        return self._watcher.cursor().execute("PRAGMA data_version").fetchone()

    async def dispose(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        self._engine.dispose()


class _Inline:
    """The part of an AsyncConnection that queries use, without its detour over another thread."""

    def __init__(self, connection: Connection) -> None:
        self.sync_connection = connection

    async def execute(self, *arguments: Any, **options: Any) -> Any:
        return self.sync_connection.execute(*arguments, **options)

    async def run_sync(self, work: Callable[..., T], *arguments: Any) -> T:
        return work(self.sync_connection, *arguments)


class _Aside(_Inline):
    """The same in another thread, results included."""

    async def execute(self, *arguments: Any, **options: Any) -> Any:
        query = asyncio.create_task(asyncio.to_thread(self._whole, *arguments, **options))
        try:
            return await asyncio.shield(query)
        except asyncio.CancelledError:
            await asyncio.wait({query})  # the connection goes back to the others
            raise

    def _whole(self, *arguments: Any, **options: Any) -> Any:
        return self.sync_connection.execute(*arguments, **options).freeze()()


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN, the driver does not
    cursor = connection.cursor()
    # FULL, because an intent that a power cut takes away is a paid job doubled.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_MILLISECONDS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _locks_at_once(connection: Connection) -> bool:
    """Whether nobody else holds the write lock, and this connection now does."""
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA busy_timeout=0")
    try:
        cursor.execute(LOCK)
    except sqlite3.OperationalError:
        return False
    finally:
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        cursor.close()
    return True


def _begin(connection: Connection) -> None:
    # A writer takes its lock at once: a read transaction that turns into a write can fail without waiting.
    if not _writing(connection):
        connection.exec_driver_sql("BEGIN")
    elif not cast(sqlite3.Connection, connection.connection.driver_connection).in_transaction:
        connection.exec_driver_sql(LOCK)


class PostgresEngine:
    """PostgreSQL through asyncpg."""

    def __init__(self, url: str, *, patient: bool) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine  # 7 MB that SQLite has no use for

        limits: dict[str, str] = {} if patient else LIMITS
        arguments = {
            "timeout": CONNECT_SECONDS,
            "command_timeout": None if patient else COMMAND_SECONDS,
            # jit: a second of compiling for queries of a millisecond
            "server_settings": {"application_name": "orchestrator", "jit": "off", **limits},
        }
        try:
            self._engine = create_async_engine(
                url, pool_size=CONNECTIONS, max_overflow=0, pool_use_lifo=True, connect_args=arguments
            )
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"PostgreSQL needs the package {error.name}, which is not installed",
                hint="Install orchestrator with its extra: pip install 'orchestrator[postgres]'.",
            ) from error
        event.listen(self._engine.sync_engine, "begin", _take_turns)
        # A transaction would show one statement no more than the next, and cost two round trips.
        self._looking = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        async with self._looking.connect() as connection:
            yield connection

    survey = read

    @asynccontextmanager
    async def write(self, **options: Any) -> AsyncIterator[AsyncConnection]:
        async with self._engine.connect() as connection:
            await connection.execution_options(writing=True, **options)
            async with connection.begin():
                yield connection

    async def mark(self) -> object:
        async with self.read() as connection:
            return (await connection.execute(text("SELECT pg_current_snapshot()::text"))).scalar_one()

    async def dispose(self) -> None:
        await self._engine.dispose()


def _take_turns(connection: Connection) -> None:
    # One writer at a time, as on SQLite: what a change has read stays true until it is committed.
    if _writing(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")


def _writing(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("writing"))
