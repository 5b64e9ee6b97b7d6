"""Backup: a copy of a SQLite database in use, and whether a copy can be trusted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from orchestrator.store.db.database import newest_revision

LOCK_TIMEOUT_SECONDS = 30.0


def copy_database(source: Path, target: Path) -> None:
    """Copy the database as it is at one moment, whoever writes to it meanwhile. Raises ValueError."""
    try:
        with closing(_open(source)) as connection:
            connection.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise ValueError(f"cannot be copied: {error}") from None


def validate_copy(path: Path) -> None:
    """Raises ValueError with what is wrong with a copy: not whole, or of a newer version of the program."""
    try:
        with closing(_open(path)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
    except sqlite3.Error as error:
        raise ValueError(f"is not a database of this program: {error}") from None
    if verdict != "ok":
        raise ValueError(f"is damaged: {verdict}")
    if revision > newest_revision():
        raise ValueError(f"is of a newer version of the program (tables {revision}, known is {newest_revision()})")


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=LOCK_TIMEOUT_SECONDS)
