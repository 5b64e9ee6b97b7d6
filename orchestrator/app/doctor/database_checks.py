"""State: the database: there, whole, up to date, writable, and of one mind with us about the time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.app.clock import SystemClock
from orchestrator.app.database import has_database
from orchestrator.app.database import open_database as open_database
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
    """Whatever the settings name."""
    if make_url(settings.database_url).get_backend_name() != "sqlite":
        async for diagnosis in _check_postgresql(settings, clock):
            yield diagnosis
    elif has_database(settings):
        yield await asyncio.to_thread(_check_sqlite, Path(make_url(settings.database_url).database or ""))
    else:
        yield ok_diagnosis(
            "database", f"{format_database_label(settings.database_url)} will be made by the first run"
        )


def _check_sqlite(path: Path) -> Diagnosis:
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        return error_diagnosis(
            "database", f"{path} may not be written", "Let the service's user write the file and its folder."
        )
    try:
        backup.validate_copy(path)
    except ValueError as fault:
        return error_diagnosis("database", f"{path} {fault}", "Restore a backup, or start the version that made it.")
    return ok_diagnosis("database", f"{path} is whole")


async def _check_postgresql(settings: Settings, clock: SystemClock) -> AsyncIterator[Diagnosis]:
    place = format_database_label(settings.database_url)
    try:
        database = open_database(settings.database_url, clock.now)
    except ConfigError as error:  # the extra is missing
        for fault in diagnoses_from_error("database", error):
            yield fault
        return
    try:
        yield _diagnose_revision(place, await database.find_revision())
        if await database.is_read_only():
            yield error_diagnosis(
                "database", f"{place} may only be read", "Name the primary server, and a user that may write."
            )
        yield await _check_clock(database, clock)
    except (
        DatabaseUnavailable,
        SQLAlchemyError,
        OSError,
        TypeError,
        ValueError,
    ) as error:  # the last two: bad options
        reason = describe_error(error)
        yield error_diagnosis("database", f"{place} cannot be reached: {reason}", "Check ORCHESTRATOR_DATABASE_URL.")
    finally:
        await database.close()


def _diagnose_revision(place: str, revision: str | None) -> Diagnosis:
    newest = newest_revision()
    if revision is None:
        return ok_diagnosis("database", f"{place} answers; the first start makes the tables")
    if revision > newest:
        return error_diagnosis(
            "database", f"{place} is of a newer version (tables {revision})", "Start the newer version."
        )
    if revision < newest:
        return warning_diagnosis(
            "database", f"{place} answers; the next start brings the tables to {newest}", "Take a backup first."
        )
    return ok_diagnosis("database", f"{place} answers; tables {revision}")


async def _check_clock(database: Database, clock: SystemClock) -> Diagnosis:
    presence = ReplicaHeartbeat(database, replica="", host="", pid=0, clock=clock, timeout_seconds=1.0)
    try:
        await presence.check_clock()
    except ConfigError as error:
        return error_diagnosis("clock", error.message, error.hint)
    return ok_diagnosis("clock", "agrees with the database's")
