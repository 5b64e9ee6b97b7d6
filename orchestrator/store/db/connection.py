"""Connection: what queries are made on, and how much of a long list is given to it at a time."""

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
"""Databases limit the number of bound values, and while a row is on its way it takes several KB."""


class StoreConnection(ABC):
    """A connection of SQLAlchemy's, used in the way that suits its database.

    SQLAlchemy's own class of this name would bring the ORM along, 7 MB that nobody here uses.
    """

    def __init__(self, connection: Connection) -> None:
        self.sync_connection: Final = connection

    @abstractmethod
    async def run_sync(self, work: Callable[..., T], *arguments: Any) -> T:
        """What `work` returns, called with the connection of SQLAlchemy's and the arguments."""

    @overload
    async def execute(self, statement: TypedReturnsRows[*Columns], values: Any = None) -> CursorResult[*Columns]: ...

    @overload
    async def execute(self, statement: Executable, values: Any = None) -> CursorResult[*tuple[Any, ...]]: ...

    async def execute(self, statement: Executable, values: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """The statement's result, which needs the database no more."""
        return await self.run_sync(Connection.execute, statement, values)

    async def exec_driver_sql(self, statement: str, values: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """The same of SQL that the driver gets as it is."""
        return await self.run_sync(Connection.exec_driver_sql, statement, values)

    @property
    def driver_connection(self) -> Any:
        """The connection of the driver's own kind."""
        return self.sync_connection.connection.driver_connection


async def shield_until_done(work: asyncio.Task[T]) -> T:
    """What comes of it. Whoever is cancelled meanwhile leaves only when it is done with the connection."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        raise


@lru_cache(maxsize=1000)
def decode_json(text: str) -> Any:
    """The value of a JSON column. Thousands of jobs have the same few, and share them: nobody may change one."""
    return json.loads(text)


def iter_chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """The values, some hundreds at a time."""
    rest = iter(values)
    while chunk := list(islice(rest, CHUNK_ROWS)):
        yield chunk


async def execute_each(connection: StoreConnection, statement: Executable, rows: Iterable[Mapping[str, Any]]) -> None:
    """Execute the statement with every row."""
    for chunk in iter_chunks(rows):
        await connection.execute(statement, chunk)
