"""The access tokens, without their texts."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.access_token import AccessToken
from orchestrator.store.db.database import Database
from orchestrator.store.queries import tokens as stored


async def list_tokens(database: Database) -> Sequence[AccessToken]:
    """Return all tokens, revoked ones included, the oldest first."""
    async with database.read() as connection:
        return await stored.list_all(connection)
