"""Alembic's entry: the service hands it a connection; on the command line it opens ORCHESTRATOR_DATABASE_URL."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from orchestrator.store.db.engine import make_engine
from orchestrator.store.schema.tables import metadata


def ours(name: str | None, kind: str, _parents: object) -> bool:
    """The queue keeps tables of its own in a PostgreSQL database."""
    return kind != "table" or name in metadata.tables


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        include_name=ours,
    )
    with context.begin_transaction():
        context.run_migrations()


async def migrate_from_command_line() -> None:
    import os

    from orchestrator.settings import load_settings

    engine = make_engine(load_settings(os.environ).database_url, without_timeouts=True)
    async with engine.write() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    asyncio.run(migrate_from_command_line())
