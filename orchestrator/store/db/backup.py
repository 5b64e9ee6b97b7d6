"""Copies a SQLite database that is in use, and validates such a copy."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from pathlib import Path

from orchestrator.store.db.database import newest_revision

LOCK_TIMEOUT_SECONDS = 30.0  # how long a copy waits for a writer of another process
_DENIED_ERROR_NAMES = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")


def copy_database(source: Path, target: Path) -> None:
    """Copy a consistent snapshot of the database, also while others write to it.

    Raises ValueError on failure, and PermissionError where this user may not write: SQLite creates files beside
    the database even to read it.
    """
    try:
        with closing(_open(source)) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "").startswith(_DENIED_ERROR_NAMES):
            raise PermissionError(errno.EACCES, f"cannot be copied: {error}", str(source)) from None
        raise ValueError(f"cannot be copied: {error}") from None


def validate_copy(path: Path) -> None:
    """Raise ValueError when a copy is damaged, is no database of this program, or is of a newer version."""
    try:
        with closing(_open(path)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
    except sqlite3.Error as error:
        raise ValueError(f"is not a database of this program: {error}") from None
    if verdict != "ok":
        raise ValueError(f"is damaged: {verdict}")
    if revision > newest_revision():
        known = newest_revision()
        raise ValueError(f"was written by a newer version of the program (revision {revision}; known: {known})")


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=LOCK_TIMEOUT_SECONDS)
