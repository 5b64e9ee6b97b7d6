"""Engine: connections to either database, set up so that both behave alike: one writer at a time, no endless wait."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sqlalchemy import make_url

from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.open_files import OpenFiles


class DatabaseEngine(Protocol):
    """The ways to either database."""

    def read(self) -> AbstractAsyncContextManager[StoreConnection]:
        """A connection to look with."""

    def read_long(self) -> AbstractAsyncContextManager[StoreConnection]:
        """A connection for queries that take their time."""

    def write(self) -> AbstractAsyncContextManager[StoreConnection]:
        """The only transaction that writes; committed at the end of the block, rolled back when it raises."""

    async def get_data_version(self) -> object:
        """Equal to an earlier one only if nothing was committed in between, by whoever it may be."""

    async def dispose(self) -> None:
        """Close every connection."""


def make_engine(url: str, files: OpenFiles | None = None, *, without_timeouts: bool = False) -> DatabaseEngine:
    """An engine for a SQLite or PostgreSQL URL. `patient`: for migrations, which may take long.

    SQLite adds its file to `files`, and does nothing once one of them is not the one that was opened.
    """
    if make_url(url).get_backend_name() == "sqlite":
        from orchestrator.store.db.sqlite import SqliteEngine

        return SqliteEngine(url, files or OpenFiles())
    from orchestrator.store.db.postgresql import PostgresEngine  # each loads megabytes that the other has no use for

    return PostgresEngine(url, without_timeouts=without_timeouts)
