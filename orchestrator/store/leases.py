"""Queries about leases: which replica is at work on an account. A lease lasts as long as its replica lives."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from sqlalchemy import (
    BindParameter,
    Float,
    Select,
    String,
    bindparam,
    delete,
    select,
)
from sqlalchemy.sql.dml import ReturningInsert

from orchestrator.core.job import JobId
from orchestrator.store.among import any_of
from orchestrator.store.connection import StoreConnection
from orchestrator.store.tables import jobs, leases, replicas


def leased_accounts(now: float) -> Select[tuple[str]]:
    """The accounts on which a live replica is at work."""
    return select(leases.c.account).where(leases.c.replica.in_(_live_replica_ids(now)))


async def acquire_leases(
    connection: StoreConnection, job_ids: Collection[JobId], replica: str, now: float
) -> set[str]:
    """Lease the accounts of those jobs that are due, unless another live replica has them. Returns the accounts."""
    taken = await connection.execute(_acquire_statement(), {"wanted": list(job_ids), "taker": replica, "now": now})
    return {row.account for row in taken}


async def release_leases(connection: StoreConnection, accounts: Collection[str], replica: str) -> None:
    """End the replica's leases of these accounts."""
    await connection.execute(_DELETE_LEASES, {"accounts": list(accounts), "holder": replica})


async def list_leased_accounts(connection: StoreConnection, replica: str) -> set[str]:
    """The accounts that the replica has."""
    return set((await connection.execute(_SELECT_LEASED_ACCOUNTS, {"holder": replica})).scalars())


def _live_replica_ids(now: float | BindParameter[float]) -> Select[tuple[str]]:
    return select(replicas.c.id).where(replicas.c.alive_until > now)


# Made once: to put a statement together takes longer than to execute it.
@cache
def _acquire_statement() -> ReturningInsert[tuple[str]]:
    from sqlalchemy.dialects.postgresql import insert  # 2 MB that SQLite has no use for

    taker: BindParameter[str] = bindparam("taker", type_=String)
    now: BindParameter[float] = bindparam("now", type_=Float)
    wanted = any_of(jobs.c.id, "wanted")
    fresh = insert(leases).from_select(
        ["account", "replica"], select(jobs.c.account, taker).where(wanted, jobs.c.wake_at <= now)
    )
    return fresh.on_conflict_do_update(
        index_elements=[leases.c.account],
        set_={"replica": fresh.excluded.replica},
        where=(leases.c.replica == taker) | leases.c.replica.not_in(_live_replica_ids(now)),
    ).returning(leases.c.account)


_SELECT_LEASED_ACCOUNTS = select(leases.c.account).where(leases.c.replica == bindparam("holder"))
_DELETE_LEASES = delete(leases).where(leases.c.replica == bindparam("holder"), any_of(leases.c.account, "accounts"))
