"""Queries about accounts: their standing. The accounts themselves are in the accounts file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import bindparam, func, insert, select, update

from orchestrator.core.account_state import AccountState
from orchestrator.core.hold import Hold
from orchestrator.store.db.any_of import any_of
from orchestrator.store.db.connection import StoreConnection, execute_each
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.mapping import ACCOUNT_STATE_COLUMNS, account_state_from_row, account_state_to_row
from orchestrator.store.schema.tables import accounts


async def list_all(connection: StoreConnection) -> dict[str, AccountState]:
    """Return all accounts that were ever listed, by name."""
    rows = await connection.execute(select(*ACCOUNT_STATE_COLUMNS).order_by(accounts.c.name))
    return {row.name: account_state_from_row(row) for row in rows}


async def get_many(connection: StoreConnection, names: Collection[str]) -> dict[str, AccountState]:
    """Return those of these accounts that were ever listed, by name."""
    rows = await connection.execute(_SELECT_MANY, {"names": list(names)})
    return {row.name: account_state_from_row(row) for row in rows}


async def get_holds(connection: StoreConnection, names: Collection[str], now: float) -> dict[str, Hold]:
    """Return the holds of these accounts that are in force, by account."""
    holds = {name: state.hold for name, state in (await get_many(connection, names)).items()}
    return {name: hold for name, hold in holds.items() if hold is not None and hold.is_active(now)}


async def list_page(connection: StoreConnection, after: str, limit: int) -> list[AccountState]:
    """Return accounts in the order of their names, those after the name `after`."""
    query = select(*ACCOUNT_STATE_COLUMNS).where(accounts.c.name > after).order_by(accounts.c.name).limit(limit)
    return [account_state_from_row(row) for row in await connection.execute(query)]


async def list_shared_keys(connection: StoreConnection) -> list[tuple[str, list[str]]]:
    """Return the listed accounts that use the same key in the same way: the key's fingerprint and their names."""
    is_listed = accounts.c.removed_at.is_(None)
    # Usually there are none. Finding that out takes less than half the time of grouping all accounts.
    unique = select(func.count() - func.count(accounts.c.definition.distinct())).where(is_listed)
    if not (await connection.execute(unique)).scalar_one():
        return []
    query = (
        select(func.min(accounts.c.key_fingerprint), func.aggregate_strings(accounts.c.name, "\n"))
        .where(is_listed)
        .group_by(accounts.c.definition)
        .having(func.count() > 1)
    )
    return sorted((fingerprint, sorted(names.split("\n"))) for fingerprint, names in await connection.execute(query))


async def save(tx: Transaction, account_state: AccountState) -> None:
    """Insert or update an account."""
    values = account_state_to_row(account_state)
    changed = await tx.connection.execute(_UPDATE, {**values, "same_name": account_state.name})
    if changed.rowcount == 0:
        await tx.connection.execute(_INSERT, values)


async def save_many(tx: Transaction, account_states: Iterable[AccountState]) -> None:
    """Update accounts that exist already."""
    rows = ({**account_state_to_row(state), "same_name": state.name} for state in account_states)
    await execute_each(tx.connection, _UPDATE, rows)


async def add_many(tx: Transaction, account_states: Sequence[AccountState]) -> None:
    """Insert accounts that were never listed before."""
    await execute_each(tx.connection, _INSERT, (account_state_to_row(state) for state in account_states))


async def mark_removed_except(tx: Transaction, names: Collection[str], at: float) -> list[str]:
    """Mark all accounts but these as removed from the accounts file. Returns the names of the newly removed ones."""
    listed = set(names)
    there = (await tx.connection.execute(select(accounts.c.name).where(accounts.c.removed_at.is_(None)))).scalars()
    gone = [name for name in there if name not in listed]
    await execute_each(tx.connection, _MARK_REMOVED, ({"gone": name, "at": at} for name in gone))
    return gone


# Built once: compiling a statement takes longer than executing it.
_SELECT_MANY = select(*ACCOUNT_STATE_COLUMNS).where(any_of(accounts.c.name, "names"))
_UPDATE = update(accounts).where(accounts.c.name == bindparam("same_name"))
_INSERT = insert(accounts)
_MARK_REMOVED = update(accounts).where(accounts.c.name == bindparam("gone")).values(removed_at=bindparam("at"))
