"""What every floor finds: the fakes of providers, and a PostgreSQL server for whoever asks for one."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from machine_speed import scale_seconds, set_time_factor
from postgres import Postgres, serving

from orchestrator.store.db import postgresql, sqlite
from orchestrator.store.db.database import Database


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Measure the machine once for all workers, and scale the time limit of a test unless a person has set one."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background job: programs would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    set_time_factor(config.getoption("numprocesses", None) or 1)
    if config.option.timeout is None and "PYTEST_TIMEOUT" not in os.environ:
        config.option.timeout = scale_seconds(float(config.getini("timeout")))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector away from what the collection of tests creates: all of it lasts until the end.

    Later it looks for garbage less often: in the web tests, this took a tenth of the time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)


def pytest_report_header() -> str:
    return f"time limits: {scale_seconds(1):g} times those of the machine of reference"


@pytest.fixture(scope="session", autouse=True)
def scale_transaction_timeout() -> None:
    """Let the server wait for a process in a transaction as long as a busy machine may not run it."""
    limits = postgresql.SERVER_TIMEOUTS_MILLISECONDS
    limits["idle_in_transaction_session_timeout"] = f"{scale_seconds(60_000):.0f}"


@pytest.fixture(scope="session", autouse=True)
def commit_without_the_disk() -> Iterator[None]:
    """Let SQLite not wait for the disk in this process, as fsync = off does on PostgreSQL: no test cuts the power."""
    configure = sqlite._configure

    def configure_for_tests(connection: Any, record: Any) -> None:
        configure(connection, record)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "the program waits: this is FULL"
        connection.execute("PRAGMA synchronous=OFF")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "_configure", configure_for_tests)
        yield


@pytest.fixture(scope="session", autouse=True)
def print_plain_tracebacks() -> None:
    """Log an exception without the variables of its frames, which structlog prints by default for a second of CPU."""
    *processors, _ = structlog.get_config()["processors"]
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*processors, renderer])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with serving() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """An empty database on PostgreSQL, as a person would write its URL."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> Iterator[str]:
    """A PostgreSQL database that is up to date and empty, to be copied."""
    url = postgres.create()
    asyncio.run(_create_tables(_name_driver(url)))
    yield url
    postgres.drop(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of SQLite that is up to date and empty, to be copied."""
    path = tmp_path_factory.mktemp("template") / "test.db"
    asyncio.run(_create_tables(f"sqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of either kind, up to date and empty, as the settings hand it on.

    On SQLite, it is a copy: it takes a fifth of the time in which the tables are created.
    """
    if request.param == "sqlite":
        yield f"sqlite:///{shutil.copy(request.getfixturevalue('sqlite_template'), tmp_path)}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    template: str = request.getfixturevalue("postgres_template")
    url = server.lend(template)
    yield _name_driver(url)
    server.take_back(url, template)


@pytest.fixture(params=["sqlite", "postgresql"])
def url_without_tables(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of either kind before its first migration."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    return _name_driver(request.getfixturevalue("postgres_url"))


async def _create_tables(url: str) -> None:
    database = Database(url)
    await database.migrate()
    await database.close()


def _name_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+asyncpg://")
