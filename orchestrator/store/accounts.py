"""Queries about accounts: their standing. The accounts themselves are in the accounts file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import bindparam, func, insert, select, update

from orchestrator.core.run import Standing
from orchestrator.store.among import among
from orchestrator.store.connection import AsyncConnection, execute_each
from orchestrator.store.rows import STANDING_COLUMNS, standing_from, standing_row
from orchestrator.store.tables import accounts


async def everyone(connection: AsyncConnection) -> dict[str, Standing]:
    """Every account ever listed, by name."""
    rows = await connection.execute(select(*STANDING_COLUMNS).order_by(accounts.c.name))
    return {row.name: standing_from(row) for row in rows}


async def some(connection: AsyncConnection, names: Collection[str]) -> dict[str, Standing]:
    """Those of the accounts that were ever listed, by name."""
    rows = await connection.execute(_SOME, {"names": list(names)})
    return {row.name: standing_from(row) for row in rows}


async def page(connection: AsyncConnection, after: str, limit: int) -> list[Standing]:
    """Accounts by name, those after this name."""
    query = select(*STANDING_COLUMNS).where(accounts.c.name > after).order_by(accounts.c.name).limit(limit)
    return [standing_from(row) for row in await connection.execute(query)]


async def same_definitions(connection: AsyncConnection) -> list[tuple[str, list[str]]]:
    """The listed accounts that use one key in one way: its fingerprint, and their names."""
    query = (
        select(func.min(accounts.c.key_fingerprint), func.aggregate_strings(accounts.c.name, "\n"))
        .where(accounts.c.removed_at.is_(None))
        .group_by(accounts.c.definition)
        .having(func.count() > 1)
    )
    return sorted((fingerprint, sorted(names.split("\n"))) for fingerprint, names in await connection.execute(query))


async def save(connection: AsyncConnection, standing: Standing) -> None:
    """Insert or replace."""
    values = standing_row(standing)
    changed = await connection.execute(_SAVE, {**values, "same_name": standing.name})
    if changed.rowcount == 0:
        await connection.execute(_ADD, values)


async def save_all(connection: AsyncConnection, standings: Iterable[Standing]) -> None:
    """Replace those of accounts that were listed before."""
    rows = ({**standing_row(standing), "same_name": standing.name} for standing in standings)
    await execute_each(connection, _SAVE, rows)


async def add(connection: AsyncConnection, new: Sequence[Standing]) -> None:
    """Insert accounts that were never listed."""
    await execute_each(connection, _ADD, (standing_row(standing) for standing in new))


async def remove_all_but(connection: AsyncConnection, names: Collection[str], at: float) -> list[str]:
    """Mark those that are no longer listed, and say which."""
    listed = set(names)
    there = (await connection.execute(select(accounts.c.name).where(accounts.c.removed_at.is_(None)))).scalars()
    gone = [name for name in there if name not in listed]
    await execute_each(connection, _REMOVE, ({"gone": name, "at": at} for name in gone))
    return gone


# Made once: to put a statement together takes longer than to execute it.
_SOME = select(*STANDING_COLUMNS).where(among(accounts.c.name, "names"))
_SAVE = update(accounts).where(accounts.c.name == bindparam("same_name"))
_ADD = insert(accounts)
_REMOVE = update(accounts).where(accounts.c.name == bindparam("gone")).values(removed_at=bindparam("at"))
