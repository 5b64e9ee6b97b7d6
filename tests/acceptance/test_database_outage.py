"""PostgreSQL goes away in the middle of the work and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from database_outage import check_recovery
from postgres import OwnPostgres
from processes import RunningProgram, SandboxProcess, Site

ACCOUNTS = [f"acme-{number:02}" for number in range(10)]


@pytest.fixture
def own() -> Iterator[OwnPostgres]:
    server = OwnPostgres()
    yield server
    server.close()


def test_service_creates_no_jobs_during_a_database_outage(
    own: OwnPostgres, site: Site, sandbox: SandboxProcess
) -> None:
    @contextmanager
    def away(_serving: RunningProgram) -> Iterator[None]:
        own.stop()
        yield
        own.start()

    check_recovery(away, site, sandbox, ACCOUNTS, readable=False, ORCHESTRATOR_DATABASE_URL=own.create())
