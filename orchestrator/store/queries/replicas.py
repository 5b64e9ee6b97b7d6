"""Queries about replicas (the processes of the service) and about the leases by which they share the accounts."""

# Theory of operation
#
# Several replicas may serve one PostgreSQL database. Two rules divide the work:
#
# * A replica is alive while `alive_until` of its row is in the future. It extends that time with every heartbeat
#   (daemon/heartbeat.py). A replica that stops, freezes or loses the database is dead when the time has passed;
#   nobody has to notice or clean up for that.
# * A lease gives one replica the right to work on the jobs of one account. There is one row for each account. It is
#   valid while the replica that it names is alive: leases have no end of their own, so that a heartbeat is one UPDATE
#   and not one for each account.
#
# acquire_leases is one INSERT … ON CONFLICT DO UPDATE … WHERE: it takes leases that are free, that this replica has
# already, or whose holder is dead, and returns the accounts it got. The check that the jobs are still due is part of
# the same statement: a wake-up may be delivered twice, and the second one must not occupy the account.
#
# Leases are changed without the write lock (`Database.write_unlocked`), for which every change of a job waits, and
# their commits do not wait for the disk:
#
# * A lease is one row, and the statement that takes it is atomic: of two replicas one gets it. Whether the job is due
#   may have changed since the statement began; the replica then makes the next step early, for example a poll.
# * A lease that a crash of the server undoes lets two replicas work on an account for a while, see below. A release
#   that it undoes is repeated (`PgqueuerDispatcher.rescue_lost`).
# * Each statement locks its rows in the order of the accounts. Two replicas that lock the same rows in different
#   orders would wait for each other until the server ends one of the statements.
#
# A lease makes work efficient, not safe. A frozen replica that wakes up still believes in its leases while another
# has taken them over. What keeps it from creating a second remote job is the version of the job's row (outcomes.py),
# and the deadline of the call that an intent allows. A lease never replaces these checks.
#
# The time comes from the callers' clocks, which must agree within MAX_CLOCK_SKEW_SECONDS (daemon/heartbeat.py). Each
# replica compares its clock with `get_server_time`, and sends nothing to a provider while its own clock is wrong.
#
# SQLite belongs to one process. It has a row in `replicas` (for `/status`) but needs no leases.

from __future__ import annotations

from collections.abc import Collection
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
from orchestrator.core.structs import Struct, asdict
from orchestrator.store.db.any_of import any_of
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import jobs, leases, replicas

DEAD_REPLICA_RETENTION_SECONDS = 24 * 3600.0
_CLOCK = select(cast(func.extract("epoch", func.clock_timestamp()), Float))


class Replica(Struct, frozen=True):
    """A service process and its last heartbeat. Times are epoch seconds, UTC."""

    id: str
    host: str
    pid: int
    started_at: float
    seen_at: float  # last heartbeat
    alive_until: float  # afterwards it counts as dead and loses its leases


_COLUMNS = [replicas.c[name] for name in Replica.__struct_fields__]


async def save_heartbeat(tx: Transaction, replica: Replica, refusal: ConfigRefusal | None = None) -> None:
    """Insert or update the replica's heartbeat with the accounts-file edit that it refuses.

    A new replica also deletes the rows of replicas that have been dead for DEAD_REPLICA_RETENTION_SECONDS.
    """
    values = asdict(replica) | {"refusal": refusal.as_dict() if refusal else None}
    changed = await tx.connection.execute(update(replicas).where(replicas.c.id == replica.id).values(values))
    if changed.rowcount == 0:
        await tx.connection.execute(insert(replicas).values(values))
        await tx.connection.execute(
            delete(replicas).where(replicas.c.alive_until < replica.seen_at - DEAD_REPLICA_RETENTION_SECONDS)
        )


async def touch(tx: Transaction, replica_id: str) -> None:
    """Write the replica's row without changing it, to find out whether the database accepts changes."""
    await tx.connection.execute(update(replicas).where(replicas.c.id == replica_id).values(host=replicas.c.host))


async def get_server_time(connection: StoreConnection) -> float:
    """Return the time of the server (PostgreSQL) in epoch seconds, UTC."""
    time: float = (await connection.execute(_CLOCK)).scalar_one()
    return time


async def list_live(connection: StoreConnection, now: float) -> list[Replica]:
    """Return the live replicas, the oldest first."""
    query = select(*_COLUMNS).where(replicas.c.alive_until > now).order_by(replicas.c.started_at, replicas.c.id)
    return [Replica(*row) for row in await connection.execute(query)]


async def find_refusal(connection: StoreConnection, now: float) -> ConfigRefusal | None:
    """Find the newest edit that a live replica refuses."""
    query = select(replicas.c.refusal).where(replicas.c.alive_until > now, replicas.c.refusal.is_not(None))
    refusals = [ConfigRefusal.from_dict(values) for values in (await connection.execute(query)).scalars()]
    return max(refusals, key=lambda refusal: refusal.at, default=None)


async def clear_refusals(tx: Transaction) -> None:
    """Delete all refusals. A live replica stores its own again with its next heartbeat; a dead one does not."""
    await tx.connection.execute(update(replicas).where(replicas.c.refusal.is_not(None)).values(refusal=None))


async def deregister(tx: Transaction, replica_id: str) -> None:
    """Delete a replica that ends, and its leases."""
    await tx.connection.execute(_DELETE_ALL_LEASES, {"holder": replica_id})
    await tx.connection.execute(delete(replicas).where(replicas.c.id == replica_id))


def leased_accounts(now: float) -> Select[tuple[str]]:
    """Select the accounts that a live replica has leased."""
    return select(leases.c.account).where(leases.c.replica.in_(_live_replica_ids(now)))


async def acquire_leases(tx: Transaction, job_ids: Collection[JobId], replica: str, now: float) -> set[str]:
    """Lease the accounts of the jobs that are due, unless another live replica has them.

    Returns the accounts that this replica has now.
    """
    leased = await tx.connection.execute(
        _acquire_statement(), {"job_ids": list(job_ids), "holder": replica, "now": now}
    )
    return {row.account for row in leased}


async def release_leases(tx: Transaction, accounts: Collection[str], replica: str) -> None:
    """Delete the replica's leases of these accounts."""
    await tx.connection.execute(_DELETE_LEASES, {"accounts": list(accounts), "holder": replica})


async def list_leased_accounts(connection: StoreConnection, replica: str) -> set[str]:
    """Return the accounts that the replica has leased."""
    return set((await connection.execute(_SELECT_LEASED_ACCOUNTS, {"holder": replica})).scalars())


def _live_replica_ids(now: float | BindParameter[float]) -> Select[tuple[str]]:
    return select(replicas.c.id).where(replicas.c.alive_until > now)


# Built once: compiling a statement takes longer than executing it.
@cache
def _acquire_statement() -> ReturningInsert[tuple[str]]:
    from sqlalchemy.dialects.postgresql import insert  # imported here: 2 MB that SQLite does not need

    # Not named "replica": SQLAlchemy reserves the names of columns that an INSERT sets.
    holder: BindParameter[str] = bindparam("holder", type_=String)
    now: BindParameter[float] = bindparam("now", type_=Float)
    is_one_of = any_of(jobs.c.id, "job_ids")
    fresh = insert(leases).from_select(
        ["account", "replica"],
        select(jobs.c.account, holder).where(is_one_of, jobs.c.wake_at <= now).order_by(jobs.c.account),
    )
    return fresh.on_conflict_do_update(
        index_elements=[leases.c.account],
        set_={"replica": fresh.excluded.replica},
        where=(leases.c.replica == holder) | leases.c.replica.not_in(_live_replica_ids(now)),
    ).returning(leases.c.account)


_SELECT_LEASED_ACCOUNTS = select(leases.c.account).where(leases.c.replica == bindparam("holder"))
_own = select(leases.c.account).where(leases.c.replica == bindparam("holder")).order_by(leases.c.account)
_DELETE_ALL_LEASES = delete(leases).where(leases.c.account.in_(_own.with_for_update()))
_DELETE_LEASES = delete(leases).where(
    leases.c.account.in_(_own.where(any_of(leases.c.account, "accounts")).with_for_update())
)
