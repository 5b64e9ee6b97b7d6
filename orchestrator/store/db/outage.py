"""Detects a database outage, and logs its start and its end exactly once each.

Only errors of the database itself start an outage: no connection, no disk space, no lock, no permission. An error
that a value causes (a text for a number, a number too large, NUL on PostgreSQL, a missing row) belongs to the one job
or request with that value. If it counted as an outage, one unusual answer of one provider would make `/readyz` fail
and take the whole service out of the load balancer.
"""

from __future__ import annotations

from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from orchestrator.core.errors import DatabaseUnavailable

OUTAGE_SUMMARY: Final = "the database cannot be reached, or rejects changes"
OUTAGE_HINT: Final = (
    "Nothing is sent to providers meanwhile. The service continues automatically when the database accepts changes."
)
_SQLITE_OUTAGE_CODES: Final = (
    *("PERM", "BUSY", "LOCKED", "NOMEM", "READONLY", "IOERR", "CORRUPT", "FULL"),
    *("CANTOPEN", "PROTOCOL", "AUTH", "NOTADB"),
)
"""Names of SQLite's primary result codes that mean an outage."""
_SQLITE_HINTS: Final = {
    "SQLITE_FULL": "Free space on the disk that has the database. A running service then continues automatically.",
    "SQLITE_IOERR": "Check the disk that has the database: it is full or failing.",
    "SQLITE_READONLY": "Give this user write access to the database file and its folder.",
}
"""What to do, by the beginning of the result code's name. The usual hint is about a server that does not answer."""
_POSTGRESQL_OUTAGE_CODES: Final = (
    "08",  # connection
    "25006",  # read-only transaction: a standby
    "25P03",  # the session was idle in its transaction for too long: a frozen replica
    "28",  # authorization: a changed password
    "3D",  # the database does not exist
    "3F",  # the schema does not exist
    "40",  # deadlock or serialization failure: the same statement succeeds when repeated
    "42501",  # insufficient privilege
    "42P01",  # the table does not exist: a restore is in progress
    "53",  # resources: disk full, out of memory, too many connections
    "55P03",  # lock not available in time
    "57",  # operator intervention: shutdown, start-up, a statement that took too long
    "58",  # system: input or output failed
    "XX001",  # data corrupted
    "XX002",  # index corrupted
)
"""SQLSTATE codes and classes (prefixes) of PostgreSQL that mean an outage."""


class Outage:
    """Starts with a failed call, ends with a committed change; not with a read: that works on a full disk too."""

    def __init__(self) -> None:
        self.reason: str | None = None  # may name hosts and paths: for the log only
        self.summary: str | None = None  # without such details: for API clients
        self._log = structlog.get_logger("orchestrator")

    def begin(self, error: BaseException) -> None:
        """Record that a call failed because of `error`; logs the first one."""
        if self.reason is None:
            self.reason, self.summary = describe_error(error), getattr(error, "summary", OUTAGE_SUMMARY)
            self._log.error("database.unreachable", message=self.reason, hint=getattr(error, "hint", OUTAGE_HINT))

    def end(self) -> None:
        """Record that a change was committed; logs the end of an outage."""
        if self.reason is not None:
            self.reason = self.summary = None
            self._log.warning("database.recovered")


def is_outage(error: BaseException) -> bool:
    """Whether the error comes from the database itself, and not from a value in the statement."""
    if isinstance(error, OSError | PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return _is_driver_outage(error)
    return error.connection_invalidated or (error.orig is not None and _is_driver_outage(error.orig))


def is_damaged(error: BaseException) -> bool:
    """Whether SQLite found that the file is damaged, or not a database."""
    import sqlite3  # imported here: a service on PostgreSQL does not need it

    while isinstance(error, DatabaseUnavailable | StatementError) and error.__cause__ is not None:
        error = error.__cause__
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def describe_error(error: BaseException) -> str:
    """Return the message of the database or its driver, without the statement and its values."""
    while isinstance(error, DatabaseUnavailable | StatementError) and error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


def find_hint(error: BaseException) -> str:
    """Return what to do where the cause is a full disk or a missing permission of SQLite's file, else nothing."""
    while isinstance(error, DatabaseUnavailable | StatementError) and error.__cause__ is not None:
        error = error.__cause__
    name = getattr(error, "sqlite_errorname", "")
    return next((hint for start, hint in _SQLITE_HINTS.items() if name.startswith(start)), "")


def _is_driver_outage(error: BaseException) -> bool:
    import sqlite3  # imported here: a service on PostgreSQL does not need it

    if isinstance(error, sqlite3.Error):
        # SQLite has no code of its own for "no such table", which means that the file was replaced by an empty one.
        is_empty = str(error).startswith("no such table")
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the low byte is the primary code
        return is_empty or code in {getattr(sqlite3, f"SQLITE_{name}") for name in _SQLITE_OUTAGE_CODES}
    state = getattr(error, "sqlstate", "")
    if state is None:
        # The client's own error: the connection is closed or broken, or a value does not fit, which is a ValueError.
        return not isinstance(error.__cause__, ValueError)
    return str(state).startswith(_POSTGRESQL_OUTAGE_CODES)
