"""Queries about tokens. Their texts are never here, only hashes."""

from __future__ import annotations

from dataclasses import asdict, fields

from sqlalchemy import insert, select, update

from orchestrator.core.access_token import AccessToken, Role
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import tokens

_COLUMNS = [tokens.c[field.name] for field in fields(AccessToken)]
_SELECT_ALL = select(*_COLUMNS).order_by(tokens.c.created_at, tokens.c.name)


async def list_all(connection: StoreConnection) -> list[AccessToken]:
    """Every token ever made, the oldest first; the revoked too."""
    rows = await connection.execute(_SELECT_ALL)
    return [AccessToken(**{**row._mapping, "role": Role(row.role)}) for row in rows]


async def add(tx: Transaction, token: AccessToken) -> None:
    """Keep a new token."""
    await tx.connection.execute(insert(tokens).values(asdict(token)))


async def revoke(tx: Transaction, name: str, at: float) -> None:
    """From now on the token opens nothing."""
    await tx.connection.execute(update(tokens).where(tokens.c.name == name).values(revoked_at=at))


async def save_last_use(tx: Transaction, name: str, at: float) -> None:
    """Remember when it was used last."""
    await tx.connection.execute(update(tokens).where(tokens.c.name == name).values(last_used_at=at))
