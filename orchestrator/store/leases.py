"""Queries about leases: which replica is at work on an account. A lease lasts as long as its replica lives."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Select, delete, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.core.job import JobId
from orchestrator.store.tables import jobs, leases, replicas


def held(now: float) -> Select[tuple[str]]:
    """The accounts on which a live replica is at work."""
    return select(leases.c.account).where(leases.c.replica.in_(_alive(now)))


async def take(connection: AsyncConnection, job_id: JobId, replica: str, now: float) -> bool:
    """Lease the job's account, provided that the job is due and no other live replica has the account."""
    due = select(jobs.c.account, literal(replica)).where(jobs.c.id == job_id, jobs.c.wake_at <= now)
    fresh = insert(leases).from_select(["account", "replica"], due)
    taken = fresh.on_conflict_do_update(
        index_elements=[leases.c.account],
        set_={"replica": fresh.excluded.replica},
        where=(leases.c.replica == replica) | leases.c.replica.not_in(_alive(now)),
    ).returning(leases.c.account)
    return (await connection.execute(taken)).one_or_none() is not None


async def give_back(connection: AsyncConnection, account: str, replica: str) -> None:
    """End the replica's lease of the account."""
    await connection.execute(delete(leases).where(leases.c.account == account, leases.c.replica == replica))


async def give_back_all_but(connection: AsyncConnection, accounts: Collection[str], replica: str) -> None:
    """End the replica's leases of all other accounts: their end was lost."""
    unused = leases.c.account.not_in(list(accounts))
    await connection.execute(delete(leases).where(leases.c.replica == replica, unused))


def _alive(now: float) -> Select[tuple[str]]:
    return select(replicas.c.id).where(replicas.c.alive_until > now)
