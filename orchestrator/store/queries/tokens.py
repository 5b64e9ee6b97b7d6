"""Queries about access tokens. Only hashes are stored, never the tokens."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from orchestrator.core.access_token import AccessToken, Role
from orchestrator.core.structs import asdict
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import tokens

_COLUMNS = [tokens.c[name] for name in AccessToken.__struct_fields__]
_SELECT_ALL = select(*_COLUMNS).order_by(tokens.c.created_at, tokens.c.name)


async def list_all(connection: StoreConnection) -> list[AccessToken]:
    """Return all tokens, revoked ones included, the oldest first."""
    rows = await connection.execute(_SELECT_ALL)
    return [AccessToken(**{**row._mapping, "role": Role(row.role)}) for row in rows]


async def add(tx: Transaction, token: AccessToken) -> None:
    """Insert a new token."""
    await tx.connection.execute(insert(tokens).values(asdict(token)))


async def revoke(tx: Transaction, name: str, at: float) -> None:
    """Mark the token as revoked."""
    await tx.connection.execute(update(tokens).where(tokens.c.name == name).values(revoked_at=at))


async def save_last_use(tx: Transaction, name: str, at: float) -> None:
    """Store when the token was last used."""
    await tx.connection.execute(update(tokens).where(tokens.c.name == name).values(last_used_at=at))
