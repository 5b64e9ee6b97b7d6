"""The database of the service: connections for reads, write transactions, migrations and outage detection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Column, Connection, MetaData, String, Table, insert, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.core.errors import ConfigError, DatabaseUnavailable
from orchestrator.settings import format_database_label
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.engine import make_engine
from orchestrator.store.db.group_commit import BatchChange, Change, GroupCommitWriter
from orchestrator.store.db.open_files import OpenFiles
from orchestrator.store.db.outage import Outage, describe_error, find_hint, is_damaged, is_outage
from orchestrator.store.db.transaction import EnqueueWakeUps, Transaction
from orchestrator.store.schema.tables import metadata

_OPENING_HINT: Final = "Check ORCHESTRATOR_DATABASE_URL or ORCHESTRATOR_DATA_DIR, and write permission."
_DAMAGE_HINT: Final = (
    "Move the file and its -wal and -shm files away, and restore a backup with `orchestrator restore`."
)
T = TypeVar("T")
K = TypeVar("K")


class Database:
    """One database: SQLite in WAL mode, or PostgreSQL.

    Every call raises DatabaseUnavailable during an outage. Other errors of SQLAlchemy or of the driver are caused by
    the statement or one of its values. `enqueue_wake_ups` puts wake-ups into a queue, within their transaction.
    """

    def __init__(self, url: str, enqueue_wake_ups: EnqueueWakeUps | None = None) -> None:
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self._url = url
        self.files = OpenFiles()  # checked before every read and write
        self._engine = make_engine(url, self.files)
        self._writer = GroupCommitWriter(self._engine, enqueue_wake_ups)
        self.outage = Outage()

    async def migrate(self) -> str | None:
        """Upgrade the tables to the newest revision; of several processes one does it. Raises ConfigError on failure.

        Returns the new revision, or None when nothing was to do.
        """
        try:
            revision = await self.find_revision()
            _require_known_revision(revision)
            return None if revision == newest_revision() else await self._upgrade()
        except (
            DatabaseUnavailable,
            SQLAlchemyError,
            OSError,
            TypeError,
            ValueError,
        ) as error:  # the last two: bad options
            place = format_database_label(self._url)
            raise ConfigError(
                f"the database {place} cannot be opened: {describe_error(error)}",
                hint=_DAMAGE_HINT if is_damaged(error) else find_hint(error) or _OPENING_HINT,
            ) from error

    async def find_revision(self) -> str | None:
        """Return the revision of the tables, or None when there are none."""
        async with self._engine.read() as connection:
            return await connection.run_sync(_find_revision)

    async def is_read_only(self) -> bool:
        """Whether this server (PostgreSQL) rejects changes, as a standby does."""
        async with self._engine.read() as connection:
            read_only: str = (await connection.execute(text("SHOW transaction_read_only"))).scalar_one()
        return read_only == "on"

    @asynccontextmanager
    async def read(self) -> AsyncIterator[StoreConnection]:
        """Open a connection for short read queries."""
        with self._translate_outage():
            async with self._engine.read() as connection:
                yield connection

    @asynccontextmanager
    async def read_long(self) -> AsyncIterator[StoreConnection]:
        """Open a connection for long read queries, such as over a whole run; other tasks get their turn meanwhile."""
        with self._translate_outage():
            async with self._engine.read_long() as connection:
                yield connection

    async def get_data_version(self) -> object:
        """Return a value that equals an earlier one only if no process has committed anything in between."""
        with self._translate_outage():
            return await self._engine.get_data_version()

    async def write(self, change: Change[T]) -> T:
        """Run a change in a transaction, perhaps together with others, and return its result after the commit.

        `change` runs twice when another one of its batch failed, so it must touch nothing but its transaction.
        """
        with self._translate_outage():
            result = await self._writer.submit(change)
        self.outage.end()
        return result

    async def write_batched(self, change: BatchChange[K, T], item: K, *, deferrable: bool = False) -> T:
        """Like `write`, but one call of `change` handles the items of all callers that wait at the same time.

        A `deferrable` item waits up to MAX_DELAY_SECONDS for others instead of causing a commit of its own.
        """
        with self._translate_outage():
            result = await self._writer.submit_batched(change, item, deferrable=deferrable)
        self.outage.end()
        return result

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a write transaction, committed when the block ends and rolled back when it raises.

        The plain form, for changes that are rare: it shares its commit with nobody. Await nothing else in the block,
        least of all `write`: all writers of the process wait for its end.
        """
        with self._translate_outage():
            async with self._writer.transaction() as tx:
                yield tx
        self.outage.end()

    async def write_unlocked(self, change: Change[T]) -> T:
        """Run a change of leases or of the queue on PostgreSQL: while one replica makes it, no other has to wait.

        Each statement is a transaction of its own, and a crash of the server may undo it. So it must be one for which
        an outdated read and a loss are harmless, see queries/replicas.py; it writes no events and no wake-ups.
        """
        with self._translate_outage():
            async with self._engine.write_unlocked() as connection:
                return await change(Transaction(connection))

    @property
    def committed(self) -> asyncio.Event:
        """Set at each commit of this process; a reader that waits for the next one clears it."""
        return self._writer.committed

    @asynccontextmanager
    async def listener_connection(self) -> AsyncIterator[Any]:
        """Open a connection of the driver (asyncpg) to listen on; it is closed, not reused, afterwards."""
        with self._translate_outage():
            async with self._engine.read() as connection:
                try:
                    yield connection.driver_connection
                finally:
                    await connection.run_sync(Connection.invalidate)

    async def is_reachable(self) -> bool:
        """Whether the database answers, and the latest change was not refused."""
        try:
            async with self.read() as connection:
                await connection.execute(text("SELECT 1"))
        except DatabaseUnavailable:
            return False
        return self.outage.reason is None

    async def close(self) -> None:
        """Commit pending changes and close all connections."""
        await self._writer.close()
        await self._engine.dispose()

    @contextmanager
    def _translate_outage(self) -> Iterator[None]:
        try:
            yield
        except DatabaseUnavailable:  # raised by a nested call, which has recorded it
            raise
        except Exception as error:
            if not is_outage(error):
                raise
            self.outage.begin(error)
            raise DatabaseUnavailable(
                f"the database cannot be used: {describe_error(error)}", hint=find_hint(error)
            ) from error

    async def _upgrade(self) -> str | None:
        engine = make_engine(self._url, self.files, without_timeouts=True)
        try:
            async with engine.write() as connection:
                before = await connection.run_sync(_find_revision)
                if before == newest_revision():
                    return None  # another process did it while this one waited for the lock
                await connection.run_sync(_upgrade if before else _create_tables)
                return newest_revision()
        finally:
            await engine.dispose()


def migrations_folder() -> Path:
    """Return the folder of the migrations: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).parents[2]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def newest_revision() -> str:
    """Return the revision this version of the program works with: the highest number in the migrations' names."""
    return max(path.name.split("_")[0] for path in (migrations_folder() / "versions").glob("[0-9]*.py"))


def _find_revision(connection: Connection) -> str | None:
    """Return the database's revision without Alembic, whose import takes a third of a second."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _require_known_revision(revision: str | None) -> None:
    if revision and revision > (known := newest_revision()):
        raise ConfigError(
            f"the database was written by a newer version of the program (revision {revision}; known: {known})",
            hint="Start the newer version, or restore a backup from before the upgrade.",
        )


def _create_tables(connection: Connection) -> None:
    """Create all tables as the migrations would leave them. Alembic would take 10 MB and a third of a second."""
    metadata.create_all(connection, checkfirst=False)
    versions = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
    versions.create(connection, checkfirst=True)
    connection.execute(insert(versions).values(version_num=newest_revision()))


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
