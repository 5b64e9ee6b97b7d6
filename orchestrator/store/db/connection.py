"""The connection on which queries run, and helpers to execute statements with many rows."""

# Theory of operation
#
# Queries are written once and run on three kinds of connection. All of them wrap a synchronous SQLAlchemy Connection
# and differ only in where the driver is called, which is `run_sync`:
#
# * SQLite, short queries (`_LoopConnection`): on the event loop's own thread. A query takes some 50 microseconds
#   there; handing it to another thread and back takes longer than that (docs/decisions/0008).
# * SQLite, long reads (`_ThreadConnection`): in a worker thread, results included, so that the loop stays responsive.
# * PostgreSQL (`_GreenletConnection`): in a greenlet, which yields to the event loop while it waits for the server.
#
# SQLAlchemy has an AsyncConnection of its own. It is not used because it has no way to run SQLite without a thread,
# and importing `sqlalchemy.ext.asyncio` loads the ORM: 7 MB of memory.
#
# Cancellation. A task may be cancelled while the driver is busy in a thread. The thread cannot be interrupted, and if
# the task left now, its `with` block would close the connection under the thread's hands. `shield_until_done` lets
# the call finish first and then raises CancelledError. Whatever hands a connection to a thread must use it.
#
# Results. `execute` returns a result that has fetched its rows: it can be read after the connection was closed.
#
# Shared values. `decode_json` returns the same object for equal texts: thousands of jobs have the same specs,
# hyperparameters and labels. Nobody may change a decoded value; core copies (`dict(values)`, `replace`) before
# changes.

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeVar, TypeVarTuple, overload

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.sql.selectable import TypedReturnsRows

T = TypeVar("T")
Columns = TypeVarTuple("Columns")
CHUNK_ROWS: Final = 500
"""Rows per statement: databases limit the number of bound values, and each row in flight takes several KB."""


class StoreConnection(ABC):
    """An asynchronous connection; subclasses decide where the driver is called."""

    def __init__(self, connection: Connection) -> None:
        self.sync_connection: Final = connection

    @abstractmethod
    async def run_sync(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call `work` with the SQLAlchemy connection and the arguments, and return its result."""

    @overload
    async def execute(self, statement: TypedReturnsRows[*Columns], values: Any = None) -> CursorResult[*Columns]: ...

    @overload
    async def execute(self, statement: Executable, values: Any = None) -> CursorResult[*tuple[Any, ...]]: ...

    async def execute(self, statement: Executable, values: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """Execute a statement, once for each row if `values` is a list. The result holds all rows."""
        return await self.run_sync(Connection.execute, statement, values)

    async def exec_driver_sql(self, statement: str, values: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """Execute SQL text that is passed to the driver unchanged."""
        return await self.run_sync(Connection.exec_driver_sql, statement, values)

    @property
    def driver_connection(self) -> Any:
        """The connection object of the driver (sqlite3 or asyncpg)."""
        return self.sync_connection.connection.driver_connection


async def shield_until_done(work: asyncio.Task[T]) -> T:
    """Await `work`. A cancelled caller gets CancelledError only after `work` has ended, see above."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        raise


@lru_cache(maxsize=1000)
def decode_json(text: str) -> Any:
    """Decode a JSON column. Equal texts return the same object, which must not be changed."""
    return json.loads(text)


def iter_chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield the values in lists of at most CHUNK_ROWS."""
    remaining = iter(values)
    while chunk := list(islice(remaining, CHUNK_ROWS)):
        yield chunk


async def execute_each(connection: StoreConnection, statement: Executable, rows: Iterable[Mapping[str, Any]]) -> None:
    """Execute the statement once for each row, in chunks."""
    for chunk in iter_chunks(rows):
        await connection.execute(statement, chunk)
