"""Engine: connections to either database, set up so that both behave alike: one writer at a time, no endless wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

BUSY_MILLISECONDS = 5000
WRITE_LOCK = 0x6F726368  # "orch": the advisory lock of whoever writes
CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 15.0  # longer than the server's own limits: it ends a wait for a server that is gone
LIMITS = {  # milliseconds
    # A frozen replica may hold the lock: it is thrown out before those who wait for it give up.
    "idle_in_transaction_session_timeout": "3000",
    "lock_timeout": "6000",
    "statement_timeout": "10000",
}


def make_engine(url: str, *, patient: bool = False) -> AsyncEngine:
    """An engine for a SQLite or PostgreSQL URL. `patient`: for migrations, which may take long.

    A transaction with the execution option `writing` is the only one that writes.
    """
    if make_url(url).get_backend_name() == "sqlite":
        return _sqlite(url)
    return _postgres(url, patient)


def _sqlite(url: str) -> AsyncEngine:
    if file := make_url(url).database:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url, pool_size=5, max_overflow=5)
    _prepare_sqlite(engine.sync_engine)
    return engine


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
        connection.exec_driver_sql("BEGIN IMMEDIATE" if _writing(connection) else "BEGIN")


def _postgres(url: str, patient: bool) -> AsyncEngine:
    limits: dict[str, str] = {} if patient else LIMITS
    arguments = {
        "timeout": CONNECT_SECONDS,
        "command_timeout": None if patient else COMMAND_SECONDS,
        # jit: a second of compiling for queries of a millisecond
        "server_settings": {"application_name": "orchestrator", "jit": "off", **limits},
    }
    engine = create_async_engine(url, pool_size=5, max_overflow=5, connect_args=arguments)

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # One writer at a time, as on SQLite: what a change has read stays true until it is committed.
        if _writing(connection):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")

    return engine


def _writing(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("writing"))
