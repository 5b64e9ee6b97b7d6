"""Queue: PgQueuer's tables, and wake-ups on their way in and out of them."""

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
# Every name is given: PgQueuer would read the rest from the environment, from CHANNEL, TRIGGER and the like, too.
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
    durability=Durability.balanced,  # the log, which nobody reads, need not survive a crash
    widen_id=True,
)


def is_outage(error: Exception) -> bool:
    """Whether a call of PgQueuer's, on a connection of the driver's own, failed because of the database."""
    if isinstance(error, asyncpg.InterfaceError):  # closed or broken; a value that does not fit is a ValueError
        return not isinstance(error, ValueError)
    return outage.is_outage(error)


def build_wake_up_enqueuer(now: Callable[[], float]) -> EnqueueWakeUps:
    """Puts wake-ups into the queue. One that is there already is not put there again."""

    async def schedule(connection: StoreConnection, wake_ups: Sequence[WakeUp]) -> None:
        tokens = [encode_wake_up(wake_up) for wake_up in wake_ups]
        delays = [wake_up.at - now() for wake_up in wake_ups]
        await enqueue(connection, tokens, delays, list(tokens))

    return schedule


async def enqueue(
    connection: StoreConnection, tokens: Sequence[str], delays: Sequence[float], keys: list[str | None]
) -> None:
    """Put tokens into the queue in the transaction under way; they come after so many seconds."""
    await build_queries(_TransactionDriver(connection)).enqueue(
        [ENTRYPOINT] * len(tokens),
        [token.encode() for token in tokens],
        [0] * len(tokens),
        [timedelta(seconds=max(delay, 0.0)) for delay in delays],
        keys,
        on_conflict="skip",
    )


async def install(database: Database) -> None:
    """Create PgQueuer's tables where they are missing, once however many replicas ask."""

    async def create(tx: Transaction) -> None:
        of_driver = build_queries(AsyncpgDriver(tx.connection.driver_connection))
        if not await of_driver.schema_is_installed():
            await of_driver.install()

    async with database.read() as connection:
        installed = await build_queries(_TransactionDriver(connection)).has_table(SETTINGS.queue_table)
    if not installed:
        await database.write(create)


async def clear_log(tx: Transaction) -> None:
    """Empty PgQueuer's log, which gets three rows for every wake-up and is never read."""
    await build_queries(_TransactionDriver(tx.connection)).clear_queue_log(ENTRYPOINT)


def build_queries(driver: Driver) -> Queries:
    """PgQueuer's queries, on our names."""
    return Queries(
        driver,
        qbe=QueryBuilderEnvironment(SETTINGS),
        qbq=QueryQueueBuilder(SETTINGS),
        qbs=QuerySchedulerBuilder(SETTINGS),
    )


def encode_wake_up(wake_up: WakeUp) -> str:
    """The wake-up's token: the same for the same job and time, whoever asks for it."""
    return f"{wake_up.job_id} {wake_up.at!r} {wake_up.account}"


def decode_wake_up(payload: bytes) -> WakeUp:
    """The inverse of `encode`."""
    job_id, at, account = payload.decode().split(" ", 2)
    return WakeUp(JobId(job_id), account, float(at))


class _TransactionDriver(AsyncpgDriver):
    """PgQueuer's way to the database through a connection of the store, in its transaction."""

    def __init__(self, connection: StoreConnection) -> None:
        self._connection = connection

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return [dict(row) for row in (await self._run(query, args)).mappings()]

    async def execute(self, query: str, *args: object) -> str:
        await self._run(query, args)
        return ""

    async def _run(self, query: str, args: tuple[object, ...]) -> Any:
        return await self._connection.exec_driver_sql(query, args)
