"""Outage: the database is away. Logged once when it begins and once when it is over.

Only an error of the database itself begins one: no connection, no disk, no lock, no rights. An error that a value
causes (a text for a number, a number too large, NUL on PostgreSQL, a row that is not there) is a fault of the one job
or request that brought the value. If such an error counted, one account's odd answer, or one odd request, would take
the whole service out of the load balancer.
"""

from __future__ import annotations

from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from orchestrator.core.errors import DatabaseUnavailable

OUTAGE_SUMMARY: Final = "the database does not answer, or takes no changes"
OUTAGE_HINT: Final = "Nothing is sent meanwhile. The service goes on by itself when the database takes changes again."
_SQLITE_OUTAGE_CODES: Final = (
    *("PERM", "BUSY", "LOCKED", "NOMEM", "READONLY", "IOERR", "CORRUPT", "FULL"),
    *("CANTOPEN", "PROTOCOL", "AUTH", "NOTADB"),
)
"""Names of primary result codes."""
_POSTGRESQL_OUTAGE_CODES: Final = (
    "08",  # connection
    "25006",  # read-only transaction: a standby
    "25P03",  # the session was idle in its transaction for too long: a frozen replica
    "28",  # authorization: a changed password
    "3D",  # the database is not there
    "3F",  # the schema is not there
    "40",  # deadlock or serialization: the same statement succeeds the next time
    "42501",  # insufficient privilege
    "42P01",  # the table is not there: a restore is under way
    "53",  # resources: disk full, out of memory, too many connections
    "55P03",  # lock not available in time
    "57",  # operator intervention: shutdown, start-up, a statement that took too long
    "58",  # system: input and output
    "XX001",  # data corrupted
    "XX002",  # index corrupted
)
"""SQLSTATE codes and classes."""


class Outage:
    """Begins with a call that fails, ends with a change that is committed: a full disk can still be read."""

    def __init__(self) -> None:
        self.reason: str | None = None  # names places: for the log
        self.summary: str | None = None  # for anyone
        self._log = structlog.get_logger("orchestrator")

    def begin(self, error: BaseException) -> None:
        """A call has failed."""
        if self.reason is None:
            self.reason, self.summary = describe_error(error), getattr(error, "summary", OUTAGE_SUMMARY)
            self._log.error("database.unreachable", message=self.reason, hint=getattr(error, "hint", OUTAGE_HINT))

    def end(self) -> None:
        """A change is committed."""
        if self.reason is not None:
            self.reason = self.summary = None
            self._log.warning("database.recovered")


def is_outage(error: BaseException) -> bool:
    """Whether the call failed because of the database, and not because of a value in it."""
    if isinstance(error, OSError | PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return _is_driver_outage(error)
    return error.connection_invalidated or (error.orig is not None and _is_driver_outage(error.orig))


def describe_error(error: BaseException) -> str:
    """What the database or its driver says, without the statement."""
    while isinstance(error, DatabaseUnavailable | StatementError) and error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


def _is_driver_outage(error: BaseException) -> bool:
    import sqlite3  # a service on PostgreSQL does without it

    if isinstance(error, sqlite3.Error):
        # "no such table" has a code of its own in no version of SQLite: somebody has put an empty file in place.
        is_empty = str(error).startswith("no such table")
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the low byte is the primary code
        return is_empty or code in {getattr(sqlite3, f"SQLITE_{name}") for name in _SQLITE_OUTAGE_CODES}
    state = getattr(error, "sqlstate", "")
    if state is None:
        # The client's own error: the connection is closed or broken, or a value does not fit, which is a ValueError.
        return not isinstance(error.__cause__, ValueError)
    return str(state).startswith(_POSTGRESQL_OUTAGE_CODES)
