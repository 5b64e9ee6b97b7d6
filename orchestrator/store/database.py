"""Database: connections, migrations, and the two ways in: read, write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, event, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from orchestrator.core.errors import ConfigError
from orchestrator.store.writer import Change, Writer

T = TypeVar("T")
BUSY_MILLISECONDS = 5000


class Database:
    """One database: SQLite in WAL mode, or PostgreSQL."""

    def __init__(self, url: str) -> None:
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        if self.is_sqlite and (file := make_url(url).database):
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_async_engine(url, pool_size=5, max_overflow=5)
        if self.is_sqlite:
            _prepare_sqlite(self._engine.sync_engine)
        self._writer = Writer(self._engine)

    async def migrate(self) -> None:
        """Bring the tables up to date. Raises ConfigError when the database cannot be opened."""
        try:
            async with self._engine.connect() as connection:
                await connection.execution_options(writing=True)
                async with connection.begin():
                    if await connection.run_sync(_revision) != newest_revision():
                        await connection.run_sync(_upgrade)
        except (SQLAlchemyError, OSError) as error:
            place = self._engine.url.render_as_string(hide_password=True)
            raise ConfigError(
                f"the database {place} cannot be opened: {getattr(error, 'orig', None) or error}",
                hint="Check ORCHESTRATOR_DATABASE_URL or ORCHESTRATOR_DATA_DIR, and that it may be written.",
            ) from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection to look with."""
        async with self._engine.connect() as connection:
            yield connection

    async def write(self, change: Change[T]) -> T:
        """Run a change in a transaction, perhaps together with others; returns after the commit."""
        return await self._writer(change)

    async def reachable(self) -> bool:
        """Whether the database answers."""
        try:
            async with self.read() as connection:
                await connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError):
            return False
        return True

    async def close(self) -> None:
        """Finish what is being written and let go."""
        await self._writer.close()
        await self._engine.dispose()


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
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

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: a read transaction that turns into a write can fail without waiting.
        writing = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def migrations_folder() -> Path:
    """Where the migrations are: beside the package in a checkout, inside it once installed."""
    package = Path(__file__).parent.parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def newest_revision() -> str:
    """The revision this version of the program works with: the highest number among the migrations' names."""
    return max(path.name.split("_")[0] for path in (migrations_folder() / "versions").glob("[0-9]*.py"))


def _revision(connection: Connection) -> str | None:
    """The database's revision, without Alembic, which takes a third of a second to import."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
