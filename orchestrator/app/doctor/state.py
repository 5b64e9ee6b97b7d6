"""State: the database: there, whole, up to date, writable, and of one mind with us about the time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.app.clock import SystemClock
from orchestrator.app.database import database as open_database
from orchestrator.app.database import has_database
from orchestrator.app.doctor.diagnosis import Diagnosis, doubtful, faults, fine, wrong
from orchestrator.core.errors import ConfigError, DatabaseAway
from orchestrator.daemon.presence import Presence
from orchestrator.settings import Settings, database_label
from orchestrator.store import backup
from orchestrator.store.database import Database, newest_revision
from orchestrator.store.outage import reason_of


async def database(settings: Settings, clock: SystemClock) -> AsyncIterator[Diagnosis]:
    """Whatever the settings name."""
    if make_url(settings.database_url).get_backend_name() != "sqlite":
        async for diagnosis in _postgresql(settings, clock):
            yield diagnosis
    elif has_database(settings):
        yield await asyncio.to_thread(_sqlite, Path(make_url(settings.database_url).database or ""))
    else:
        yield fine("database", f"{database_label(settings.database_url)} will be made by the first run")


def _sqlite(path: Path) -> Diagnosis:
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        return wrong(
            "database", f"{path} may not be written", "Let the service's user write the file and its folder."
        )
    try:
        backup.check(path)
    except ValueError as fault:
        return wrong("database", f"{path} {fault}", "Restore a backup, or start the version that made it.")
    return fine("database", f"{path} is whole")


async def _postgresql(settings: Settings, clock: SystemClock) -> AsyncIterator[Diagnosis]:
    place = database_label(settings.database_url)
    try:
        database = open_database(settings.database_url, clock.now)
    except ConfigError as error:  # the extra is missing
        for fault in faults("database", error):
            yield fault
        return
    try:
        yield _tables(place, await database.revision())
        if await database.is_read_only():
            yield wrong(
                "database", f"{place} may only be read", "Name the primary server, and a user that may write."
            )
        yield await _clock(database, clock)
    except (DatabaseAway, SQLAlchemyError, OSError, TypeError, ValueError) as error:  # the last two: bad options
        reason = reason_of(error)
        yield wrong("database", f"{place} cannot be reached: {reason}", "Check ORCHESTRATOR_DATABASE_URL.")
    finally:
        await database.close()


def _tables(place: str, revision: str | None) -> Diagnosis:
    newest = newest_revision()
    if revision is None:
        return fine("database", f"{place} answers; the first start makes the tables")
    if revision > newest:
        return wrong("database", f"{place} is of a newer version (tables {revision})", "Start the newer version.")
    if revision < newest:
        return doubtful(
            "database", f"{place} answers; the next start brings the tables to {newest}", "Take a backup first."
        )
    return fine("database", f"{place} answers; tables {revision}")


async def _clock(database: Database, clock: SystemClock) -> Diagnosis:
    presence = Presence(database, replica="", host="", pid=0, clock=clock, silence=1.0)
    try:
        await presence.check_clock()
    except ConfigError as error:
        return wrong("clock", error.message, error.hint)
    return fine("clock", "agrees with the database's")
