"""A database for every test that asks for one, once of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from orchestrator.store.db.database import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Up to date and empty."""
    opened = Database(database_url)
    yield opened
    await opened.close()
