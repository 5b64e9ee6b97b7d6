"""Connection: what queries are made on, and how much of a long list is given to it at a time.

SQLAlchemy's own class is a name for the type checker only: importing it brings the ORM along, 7 MB that nobody uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import Executable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection as AsyncConnection
else:
    AsyncConnection = object

T = TypeVar("T")
CHUNK: Final = 500
"""Databases limit the number of bound values, and while a row is on its way it takes several KB."""


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """The values, some hundreds at a time."""
    rest = iter(values)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


async def execute_each(connection: AsyncConnection, statement: Executable, rows: Iterable[Mapping[str, Any]]) -> None:
    """Execute the statement with every row."""
    for chunk in chunks(rows):
        await connection.execute(statement, chunk)
