"""What every floor finds: the fakes of providers, and a PostgreSQL server for whoever asks for one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine_speed import scale_seconds, set_time_factor
from postgres import Postgres, serving

from orchestrator.store.db import postgresql


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Measure the machine once for all workers, and scale the time limit of a test unless a person has set one."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background job: programs would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    set_time_factor(config.getoption("numprocesses", None) or 1)
    if config.option.timeout is None and "PYTEST_TIMEOUT" not in os.environ:
        config.option.timeout = scale_seconds(float(config.getini("timeout")))


def pytest_report_header() -> str:
    return f"time limits: {scale_seconds(1):g} times those of the machine of reference"


@pytest.fixture(scope="session", autouse=True)
def scale_transaction_timeout() -> None:
    """Let the server wait for a process in a transaction as long as a busy machine may not run it."""
    limits = postgresql.SERVER_TIMEOUTS_MILLISECONDS
    limits["idle_in_transaction_session_timeout"] = f"{scale_seconds(60_000):.0f}"


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


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind, as the settings hand it on."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url.replace("postgresql://", "postgresql+asyncpg://")
