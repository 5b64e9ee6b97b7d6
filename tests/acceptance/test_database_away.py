"""PostgreSQL goes away in the middle of the work and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from outage import live_through
from postgres import OwnPostgres
from processes import Running, Sandbox, Site

ACCOUNTS = [f"acme-{number:02}" for number in range(10)]


@pytest.fixture
def own() -> Iterator[OwnPostgres]:
    server = OwnPostgres()
    yield server
    server.close()


def test_the_service_says_so_spends_nothing_and_goes_on(own: OwnPostgres, site: Site, sandbox: Sandbox) -> None:
    @contextmanager
    def away(_serving: Running) -> Iterator[None]:
        own.stop()
        yield
        own.start()

    live_through(away, site, sandbox, ACCOUNTS, readable=False, ORCHESTRATOR_DATABASE_URL=own.create())
