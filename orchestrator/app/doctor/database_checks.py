"""Checks of the database: reachable, intact, of the right revision, writable, and with the same clock."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.app.clock import SystemClock
from orchestrator.app.database import has_database, open_database
from orchestrator.app.doctor.diagnosis import (
    Diagnosis,
    diagnoses_from_error,
    error_diagnosis,
    ok_diagnosis,
    warning_diagnosis,
)
from orchestrator.core.errors import ConfigError, DatabaseUnavailable
from orchestrator.daemon.heartbeat import ReplicaHeartbeat
from orchestrator.settings import Settings, format_database_label
from orchestrator.store.db import backup
from orchestrator.store.db.database import Database, newest_revision
from orchestrator.store.db.outage import describe_error


async def check_database(settings: Settings, clock: SystemClock) -> AsyncIterator[Diagnosis]:
    """Check the database that the settings name. Creates no database."""
    if make_url(settings.database_url).get_backend_name() != "sqlite":
        async for diagnosis in _check_postgresql(settings, clock):
            yield diagnosis
    elif has_database(settings):
        yield await asyncio.to_thread(_check_sqlite, Path(make_url(settings.database_url).database or ""))
    else:
        yield ok_diagnosis(
            "database", f"{format_database_label(settings.database_url)} will be created by the first run"
        )


def _check_sqlite(path: Path) -> Diagnosis:
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        return error_diagnosis(
            "database", f"{path} is not writable", "Give the service's user write access to the file and its folder."
        )
    try:
        backup.validate_copy(path)
    except ValueError as error:
        return error_diagnosis(
            "database", f"{path} {error}", "Restore a backup, or start the version of orchestrator that wrote it."
        )
    return ok_diagnosis("database", f"{path} is intact")


async def _check_postgresql(settings: Settings, clock: SystemClock) -> AsyncIterator[Diagnosis]:
    label = format_database_label(settings.database_url)
    try:
        database = open_database(settings.database_url, clock.now)
    except ConfigError as error:  # the extra `postgres` is not installed
        for diagnosis in diagnoses_from_error("database", error):
            yield diagnosis
        return
    try:
        yield _diagnose_revision(label, await database.find_revision())
        if await database.is_read_only():
            yield error_diagnosis(
                "database",
                f"{label} is read-only",
                "Use the address of the primary server, and a user with write access.",
            )
        yield await _check_clock(database, clock)
    except (DatabaseUnavailable, SQLAlchemyError, OSError, TypeError, ValueError) as error:
        reason = describe_error(error)  # TypeError and ValueError: wrong options in the URL
        fix = "Check ORCHESTRATOR_DATABASE_URL, and that the server is running and reachable."
        yield error_diagnosis("database", f"{label} cannot be reached: {reason}", fix)
    finally:
        await database.close()


def _diagnose_revision(label: str, revision: str | None) -> Diagnosis:
    newest = newest_revision()
    if revision is None:
        return ok_diagnosis("database", f"{label} is reachable; the first start creates the tables")
    if revision > newest:
        return error_diagnosis(
            "database", f"{label} belongs to a newer version (revision {revision})", "Upgrade orchestrator."
        )
    if revision < newest:
        return warning_diagnosis(
            "database", f"{label} is reachable; the next start upgrades it to revision {newest}", "Back it up first."
        )
    return ok_diagnosis("database", f"{label} is reachable; revision {revision}")


async def _check_clock(database: Database, clock: SystemClock) -> Diagnosis:
    heartbeat = ReplicaHeartbeat(database, replica="", host="", pid=0, clock=clock, timeout_seconds=1.0)
    try:
        await heartbeat.check_clock()
    except ConfigError as error:
        return error_diagnosis("clock", error.message, error.hint)
    return ok_diagnosis("clock", "agrees with the clock of the database server")
