"""PostgreSQL through asyncpg: any number of processes, one of which writes at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.util import greenlet_spawn

from orchestrator.core.errors import ConfigError
from orchestrator.store.db.connection import StoreConnection, decode_json, shield_until_done

T = TypeVar("T")
WRITE_LOCK_ID: Final = 0x6F726368
"""Advisory lock of the write transaction; the number is "orch" in ASCII."""
POOL_SIZE: Final = 6
"""Connections per process. They stay open: opening one takes the server longer than answering fifty queries."""
UNLOCKED_POOL_SIZE: Final = 1
"""One more connection for leases, opened by the first of them."""
CONNECT_TIMEOUT_SECONDS: Final = 5.0
COMMAND_TIMEOUT_SECONDS: Final = 15.0
"""Longer than the server's own limits below: it ends the wait for a server that is gone."""
SERVER_TIMEOUTS_MILLISECONDS: Final = {
    # A frozen replica may hold the write lock: the server ends its session before the waiting replicas time out.
    "idle_in_transaction_session_timeout": "2000",
    "lock_timeout": "6000",
    "statement_timeout": "10000",
}


class PostgresEngine:
    """A pool of connections to one database. `without_timeouts` removes the time limits of statements."""

    def __init__(self, url: str, *, without_timeouts: bool) -> None:
        timeouts: dict[str, str] = {} if without_timeouts else SERVER_TIMEOUTS_MILLISECONDS
        arguments: dict[str, Any] = {
            "timeout": CONNECT_TIMEOUT_SECONDS,
            "command_timeout": None if without_timeouts else COMMAND_TIMEOUT_SECONDS,
            # jit: would compile for a second to run a query of a millisecond
            "server_settings": {"application_name": "orchestrator", "jit": "off", **timeouts},
        }
        try:
            self._engine = _create_engine(url, POOL_SIZE, arguments)
            # A commit here does not wait for the disk: what it writes may be lost when the server crashes.
            settings = {**arguments["server_settings"], "synchronous_commit": "off"}
            self._unlocked_engine = _create_engine(
                url, UNLOCKED_POOL_SIZE, {**arguments, "server_settings": settings}
            ).execution_options(isolation_level="AUTOCOMMIT")
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"PostgreSQL needs the package {error.name}, which is not installed",
                hint="Install orchestrator with its extra: pip install 'orchestrator[postgres]'.",
            ) from error
        event.listen(self._engine, "begin", _acquire_write_lock)
        # Reads need no transaction: at READ COMMITTED each statement sees the latest commit anyway, and BEGIN and
        # ROLLBACK would cost two round trips.
        self._autocommit_engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[StoreConnection]:
        async with _pooled_connection(self._autocommit_engine) as connection:
            yield _GreenletConnection(connection)

    read_long = read

    @asynccontextmanager
    async def write(self) -> AsyncIterator[StoreConnection]:
        async with _pooled_connection(self._engine) as connection:
            connection.execution_options(writing=True)
            await greenlet_spawn(connection.begin)
            yield _GreenletConnection(connection)
            # Shielded: a caller that is cancelled now would break the connection in the middle of the commit.
            await shield_until_done(asyncio.create_task(greenlet_spawn(connection.commit)))

    @asynccontextmanager
    async def write_unlocked(self) -> AsyncIterator[StoreConnection]:
        async with _pooled_connection(self._unlocked_engine) as connection:
            yield _GreenletConnection(connection)

    async def get_data_version(self) -> object:
        async with self.read() as connection:
            return (await connection.execute(text("SELECT pg_current_snapshot()::text"))).scalar_one()

    async def dispose(self) -> None:
        await greenlet_spawn(self._engine.dispose)
        await greenlet_spawn(self._unlocked_engine.dispose)


class _GreenletConnection(StoreConnection):
    """Calls the driver in a greenlet, which yields to the event loop while the server works."""

    async def run_sync(self, work: Callable[..., T], *arguments: Any) -> T:
        return await greenlet_spawn(work, self.sync_connection, *arguments)


def _create_engine(url: str, connections: int, arguments: dict[str, Any]) -> Engine:
    return create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_use_lifo=True,
        connect_args=arguments,
        json_deserializer=decode_json,
    )


@asynccontextmanager
async def _pooled_connection(engine: Engine) -> AsyncIterator[Connection]:
    """Take a connection from the pool. Returning it rolls back whatever was not committed."""
    connection = await greenlet_spawn(engine.connect)
    try:
        yield connection
    finally:
        await shield_until_done(asyncio.create_task(greenlet_spawn(connection.close)))


def _acquire_write_lock(connection: Connection) -> None:
    # One writer at a time, as on SQLite: what a change has read (a free slot, the spent budget) stays true until it
    # is committed. The lock is released with the transaction, also when the server ends the session.
    if connection.get_execution_options().get("writing"):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK_ID})")
