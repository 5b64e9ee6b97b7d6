"""Opening the database, and the lock that lets only one process work with a SQLite database."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from sqlalchemy import make_url

from orchestrator.core.errors import ConfigError, DatabaseLocked
from orchestrator.settings import Settings
from orchestrator.store.db.database import Database
from orchestrator.system.private_files import create_private_file, create_private_folder


def open_database(url: str, now: Callable[[], float]) -> Database:
    """Open the database at a URL. `now` returns epoch seconds; PostgreSQL needs it to schedule wake-ups."""
    sqlite = make_url(url).get_backend_name() == "sqlite"
    return Database(url, None if sqlite else import_wakeup_queue().build_wake_up_enqueuer(now))


def import_wakeup_queue() -> ModuleType:
    """Import the wake-up queue of PostgreSQL. Raises ConfigError if the extra `postgres` is not installed."""
    try:
        from orchestrator.dispatch import wakeup_queue
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"PostgreSQL needs the package {error.name}, which is not installed",
            hint="Install orchestrator with its extra: pip install 'orchestrator[postgres]'.",
        ) from error
    return wakeup_queue


def has_database(settings: Settings) -> bool:
    """Return whether a database exists.

    SQLite creates its file with the first run; a PostgreSQL URL counts as one.
    """
    url = make_url(settings.database_url)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()


@contextmanager
def exclusive_database_lock(settings: Settings, database: Database | None = None) -> Iterator[None]:
    """Hold the lock of a SQLite database; does nothing on PostgreSQL. Raises DatabaseLocked if another process holds
    it.

    `database` refuses to work once the lock file is deleted or replaced, because a second process could lock the new
    file and both would create jobs.
    """
    url = make_url(settings.database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        yield
        return
    path = Path(f"{url.database}.lock")
    create_private_folder(path.parent)
    create_private_file(path)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DatabaseLocked(f"another orchestrator process is using {url.database}") from None
        if database is not None:
            database.files.add(path, os.fstat(lock.fileno()))
        yield
