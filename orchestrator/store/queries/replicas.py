"""Queries about replicas: who does the work."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, fields
from functools import cache

from sqlalchemy import (
    BindParameter,
    Float,
    Select,
    String,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningInsert

from orchestrator.core.config_refusal import ConfigRefusal
from orchestrator.core.jobs.job import JobId
from orchestrator.core.replica import Replica
from orchestrator.store.db.any_of import any_of
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import jobs, leases, replicas

DEAD_REPLICA_RETENTION_SECONDS = 24 * 3600.0  # seconds a dead replica's row is kept
_CLOCK = select(cast(func.extract("epoch", func.clock_timestamp()), Float))
_COLUMNS = [replicas.c[field.name] for field in fields(Replica)]


async def save_heartbeat(tx: Transaction, replica: Replica, refusal: ConfigRefusal | None = None) -> None:
    """Keep a sign of life with the edit that the replica refuses, and forget those who have been dead for a day."""
    values = asdict(replica) | {"refusal": refusal.as_dict() if refusal else None}
    changed = await tx.connection.execute(update(replicas).where(replicas.c.id == replica.id).values(values))
    if changed.rowcount == 0:
        await tx.connection.execute(insert(replicas).values(values))
        await tx.connection.execute(
            delete(replicas).where(replicas.c.alive_until < replica.seen_at - DEAD_REPLICA_RETENTION_SECONDS)
        )


async def touch(tx: Transaction, replica_id: str) -> None:
    """Write the replica's row as it is: a change that says nothing, for a replica that cannot trust its clock."""
    await tx.connection.execute(update(replicas).where(replicas.c.id == replica_id).values(host=replicas.c.host))


async def get_server_time(connection: StoreConnection) -> float:
    """What time it is at the server (PostgreSQL), in epoch seconds, UTC."""
    time: float = (await connection.execute(_CLOCK)).scalar_one()
    return time


async def list_live(connection: StoreConnection, now: float) -> list[Replica]:
    """Those that are alive, the oldest first."""
    query = select(*_COLUMNS).where(replicas.c.alive_until > now).order_by(replicas.c.started_at, replicas.c.id)
    return [Replica(*row) for row in await connection.execute(query)]


async def find_refusal(connection: StoreConnection, now: float) -> ConfigRefusal | None:
    """Find the newest edit that a live replica refuses."""
    query = select(replicas.c.refusal).where(replicas.c.alive_until > now, replicas.c.refusal.is_not(None))
    refusals = [ConfigRefusal.from_dict(values) for values in (await connection.execute(query)).scalars()]
    return max(refusals, key=lambda refusal: refusal.at, default=None)


async def clear_refusals(tx: Transaction) -> None:
    """Delete every refusal. A live replica writes its own again with its next beat; a dead one does not."""
    await tx.connection.execute(update(replicas).where(replicas.c.refusal.is_not(None)).values(refusal=None))


async def deregister(tx: Transaction, replica_id: str) -> None:
    """The replica has ended: what it held is free."""
    await tx.connection.execute(delete(leases).where(leases.c.replica == replica_id))
    await tx.connection.execute(delete(replicas).where(replicas.c.id == replica_id))


def leased_accounts(now: float) -> Select[tuple[str]]:
    """The accounts on which a live replica is at work."""
    return select(leases.c.account).where(leases.c.replica.in_(_live_replica_ids(now)))


async def acquire_leases(tx: Transaction, job_ids: Collection[JobId], replica: str, now: float) -> set[str]:
    """Lease the accounts of those jobs that are due, unless another live replica has them. Returns the accounts."""
    taken = await tx.connection.execute(_acquire_statement(), {"wanted": list(job_ids), "taker": replica, "now": now})
    return {row.account for row in taken}


async def release_leases(tx: Transaction, accounts: Collection[str], replica: str) -> None:
    """End the replica's leases of these accounts."""
    await tx.connection.execute(_DELETE_LEASES, {"accounts": list(accounts), "holder": replica})


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
