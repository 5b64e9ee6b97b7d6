"""A database for every test that asks for one. Another kind of database is one more entry in `DATABASES`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from orchestrator.store.database import Database


def sqlite(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'orchestrator.db'}"


DATABASES: dict[str, Callable[[Path], str]] = {"sqlite": sqlite}
"""How each kind makes the URL of a database of its own that has no tables yet, given a folder of its own."""


@pytest.fixture(params=sorted(DATABASES))
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return DATABASES[request.param](tmp_path)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Up to date and empty."""
    opened = Database(database_url)
    await opened.migrate()
    yield opened
    await opened.close()
