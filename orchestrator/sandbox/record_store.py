"""Stores the records in memory, and in SQLite if there is a state file.

Reads use the memory only. This is correct because the sandbox is the only writer of its state file. Writes reach
SQLite before the response is sent. SQLite runs in WAL mode without fsync: that survives `kill -9` of the process, but
not a power failure, which the sandbox does not promise.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from msgspec.structs import asdict

STATE_FILE_SCHEMA = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=OFF;
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL, UNIQUE (kind, id));
"""


class SandboxRecord(Protocol):
    """Any record with an id that belongs to an account."""

    @property
    def id(self) -> str: ...
    @property
    def account(self) -> str: ...


RecordT = TypeVar("RecordT", bound=SandboxRecord)


class StateFileError(ValueError):
    """The path of the state file leads to something that is not a SQLite database, or that cannot be opened."""


class StateFile:
    """The SQLite file, or a null object without one."""

    def __init__(self, path: Path | None) -> None:
        """Raises StateFileError or OSError if the file cannot be opened or created."""
        self._connection: sqlite3.Connection | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                self._connection.executescript(STATE_FILE_SCHEMA)
            except sqlite3.Error as error:
                self.close()
                raise StateFileError(f"{path} is not usable as the state file: {error}") from error

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """Execute and commit one statement, and return its rows. Returns no rows without a file."""
        return [] if self._connection is None else self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class RecordStore(Generic[RecordT]):
    """The records of one kind by account, oldest first."""

    def __init__(self, state_file: StateFile, record: type[RecordT], *, kind: str) -> None:
        """`kind` is the stored name of the record type, which must not change when the class is renamed."""
        self._state_file = state_file
        self._kind = kind
        self._accounts: dict[str, dict[str, RecordT]] = {}
        self.revision: Counter[str] = Counter()
        """Number of changes per account, for caches that depend on the records."""
        rows = state_file.execute("SELECT record FROM records WHERE kind = ? ORDER BY number", self._kind)
        for (row,) in rows:
            self._cache(record(**json.loads(row)))

    def of(self, account: str) -> dict[str, RecordT]:
        """Return the records of an account by id. The caller must not change the dict."""
        return self._accounts.get(account, {})

    def __iter__(self) -> Iterator[RecordT]:
        for records in self._accounts.values():
            yield from records.values()

    def save(self, record: RecordT) -> RecordT:
        """Add the record, or replace the record with the same id."""
        self._state_file.execute(
            "INSERT INTO records (kind, id, record) VALUES (?, ?, ?) "
            "ON CONFLICT (kind, id) DO UPDATE SET record = excluded.record",
            self._kind,
            record.id,
            json.dumps(asdict(record)),  # type: ignore[arg-type]
        )
        self._cache(record)
        return record

    def delete(self, record: RecordT) -> None:
        self._state_file.execute("DELETE FROM records WHERE kind = ? AND id = ?", self._kind, record.id)
        del self._accounts[record.account][record.id]
        self.revision[record.account] += 1

    def clear(self) -> None:
        self._state_file.execute("DELETE FROM records WHERE kind = ?", self._kind)
        for account in self._accounts:
            self.revision[account] += 1
        self._accounts.clear()

    def _cache(self, record: RecordT) -> None:
        self._accounts.setdefault(record.account, {})[record.id] = record
        self.revision[record.account] += 1
