"""Engines for SQLite and PostgreSQL, configured to behave alike: one writer at a time, no unlimited wait."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sqlalchemy import make_url

from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.open_files import OpenFiles


class DatabaseEngine(Protocol):
    """Opens connections to one database."""

    def read(self) -> AbstractAsyncContextManager[StoreConnection]:
        """Open a connection for short read queries."""

    def read_long(self) -> AbstractAsyncContextManager[StoreConnection]:
        """Open a connection for long read queries; others get their turn meanwhile."""

    def write(self) -> AbstractAsyncContextManager[StoreConnection]:
        """Open the only write transaction; committed at the end of the block, rolled back when it raises."""

    def write_unlocked(self) -> AbstractAsyncContextManager[StoreConnection]:
        """Open a connection on which each statement commits by itself, without the write lock or the disk."""

    async def get_data_version(self) -> object:
        """Return a value that equals an earlier one only if no process has committed anything in between."""

    async def dispose(self) -> None:
        """Close every connection."""


def make_engine(url: str, files: OpenFiles | None = None, *, without_timeouts: bool = False) -> DatabaseEngine:
    """Create the engine for a SQLite or PostgreSQL URL. `without_timeouts` is for migrations, which may take long.

    SQLite registers its file in `files`, and refuses to work once one of these files was replaced.
    """
    if make_url(url).get_backend_name() == "sqlite":
        from orchestrator.store.db.sqlite import SqliteEngine

        return SqliteEngine(url, files or OpenFiles())
    # Imported here: each of them loads megabytes that the other does not need.
    from orchestrator.store.db.postgresql import PostgresEngine

    return PostgresEngine(url, without_timeouts=without_timeouts)
