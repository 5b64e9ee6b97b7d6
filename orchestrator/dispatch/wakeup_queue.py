"""Stores wake-ups in the tables of PgQueuer: installation, encoding and enqueueing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.settings import DBSettings, Durability
from pgqueuer.domain.types import Channel
from pgqueuer.ports.driver import Driver

from orchestrator.core.jobs.job import JobId
from orchestrator.store.db import outage
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EnqueueWakeUps, Transaction, WakeUp

ENTRYPOINT: Final = "wake-up"
# Every name is set here: PgQueuer would read a missing one from the environment, from variables such as CHANNEL.
SETTINGS: Final = DBSettings(
    prefix="",
    db_schema=None,
    channel=Channel("ch_pgqueuer"),
    function="fn_pgqueuer_changed",
    statistics_table="pgqueuer_statistics",
    queue_status_type="pgqueuer_status",
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    trigger="tg_pgqueuer_changed",
    schedules_table="pgqueuer_schedules",
    durability=Durability.balanced,  # only the log, which is never read, may be lost in a crash
    widen_id=True,
)


def is_outage(error: Exception) -> bool:
    """Return whether PgQueuer's own connection failed because the database is unreachable."""
    if isinstance(error, asyncpg.InterfaceError):  # a closed connection; an invalid value is a ValueError as well
        return not isinstance(error, ValueError)
    return outage.is_outage(error)


def build_wake_up_enqueuer(now: Callable[[], float]) -> EnqueueWakeUps:
    """Return the function that puts wake-ups into the queue; one that is already there is skipped."""

    async def schedule(connection: StoreConnection, wake_ups: Sequence[WakeUp]) -> None:
        tokens = [encode_wake_up(wake_up) for wake_up in wake_ups]
        delays = [wake_up.at - now() for wake_up in wake_ups]
        await enqueue(connection, tokens, delays, list(tokens))

    return schedule


async def enqueue(
    connection: StoreConnection, tokens: Sequence[str], delays: Sequence[float], keys: list[str | None]
) -> None:
    """Put tokens into the queue in the current transaction; each is due after its delay in seconds."""
    await build_queries(_TransactionDriver(connection)).enqueue(
        [ENTRYPOINT] * len(tokens),
        [token.encode() for token in tokens],
        [0] * len(tokens),
        [timedelta(seconds=max(delay, 0.0)) for delay in delays],
        keys,
        on_conflict="skip",
    )


async def install(database: Database) -> None:
    """Create PgQueuer's tables if they are missing. Safe for replicas that start at the same time."""

    async def create(tx: Transaction) -> None:
        # Checked again: this transaction holds the write lock, and another replica may have created them meanwhile.
        queries = build_queries(AsyncpgDriver(tx.connection.driver_connection))
        if not await queries.schema_is_installed():
            await queries.install()

    async with database.read() as connection:
        installed = await build_queries(_TransactionDriver(connection)).has_table(SETTINGS.queue_table)
    if not installed:
        await database.write(create)


async def clear_log(tx: Transaction) -> None:
    """Delete PgQueuer's log, which gets three rows for every wake-up and is never read."""
    await build_queries(_TransactionDriver(tx.connection)).clear_queue_log(ENTRYPOINT)


def build_queries(driver: Driver) -> Queries:
    """Return PgQueuer's queries with the table names of SETTINGS."""
    return Queries(
        driver,
        qbe=QueryBuilderEnvironment(SETTINGS),
        qbq=QueryQueueBuilder(SETTINGS),
        qbs=QuerySchedulerBuilder(SETTINGS),
    )


def encode_wake_up(wake_up: WakeUp) -> str:
    """Return the wake-up's token. Equal wake-ups have equal tokens, so the queue can skip duplicates."""
    return f"{wake_up.job_id} {wake_up.at!r} {wake_up.account}"


def decode_wake_up(payload: bytes) -> WakeUp:
    """Return the wake-up of a token. The inverse of `encode_wake_up`."""
    job_id, at, account = payload.decode().split(" ", 2)
    return WakeUp(JobId(job_id), account, float(at))


class _TransactionDriver(AsyncpgDriver):
    """Lets PgQueuer use a connection of the store, in its current transaction."""

    def __init__(self, connection: StoreConnection) -> None:
        self._connection = connection

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return [dict(row) for row in (await self._run(query, args)).mappings()]

    async def execute(self, query: str, *args: object) -> str:
        await self._run(query, args)
        return ""

    async def _run(self, query: str, args: tuple[object, ...]) -> Any:
        return await self._connection.exec_driver_sql(query, args)
