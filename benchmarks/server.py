"""A PostgreSQL server for a benchmark, with its CPU; as the tests make one, but every commit reaches the disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness import ROOT
from served import cpu_of

sys.path.insert(0, str(ROOT / "tests"))

from postgres import Postgres, serving


class Server:
    """A server of its own; `url` is its newest database."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._pid = int(Path(self._setting("data_directory"), "postmaster.pid").read_text().split()[0])
        self.url = ""

    def create(self) -> str:
        """A new, empty database: its address for the program."""
        self.url = self._postgres.create()
        return self.url

    def rows(self, query: str) -> list[Any]:
        """What the newest database answers."""
        return self._postgres.execute(query, self.url)

    def count(self, table: str) -> int:
        """How many rows a table of the newest database has."""
        return int(self.rows(f'SELECT count(*) FROM "{table}"')[0][0])

    def size(self, table: str) -> int:
        """How many bytes it takes on the disk, with its indexes."""
        return int(self.rows(f"SELECT pg_total_relation_size('{table}')")[0][0])

    @property
    def socket(self) -> str:
        """The file of its Unix socket."""
        return f"{self._setting('unix_socket_directories')}/.s.PGSQL.{self._setting('port')}"

    @property
    def cpu(self) -> float:
        """Seconds of CPU of all its processes so far, also of those that have ended."""
        used = 0.0
        for child in Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split():
            with suppress(FileNotFoundError):  # it has just ended, and is counted below
                used += cpu_of(int(child))
        return used + cpu_of(self._pid, ended=True)

    def _setting(self, name: str) -> str:
        return str(self._postgres.execute(f"SHOW {name}")[0][0])


@contextmanager
def postgresql() -> Iterator[Server]:
    """The server, for as long as it lasts."""
    with serving() as postgres:
        postgres.execute("ALTER SYSTEM RESET fsync")
        postgres.execute("SELECT pg_reload_conf()")
        yield Server(postgres)
