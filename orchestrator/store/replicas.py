"""Queries about replicas: who does the work."""

from __future__ import annotations

from dataclasses import asdict, fields

from sqlalchemy import Float, cast, delete, func, insert, select, update

from orchestrator.core.refusal import ConfigRefusal
from orchestrator.core.replica import Replica
from orchestrator.store.connection import StoreConnection
from orchestrator.store.tables import leases, replicas

DEAD_REPLICA_RETENTION_SECONDS = 24 * 3600.0  # seconds a dead replica's row is kept
_CLOCK = select(cast(func.extract("epoch", func.clock_timestamp()), Float))
_COLUMNS = [replicas.c[field.name] for field in fields(Replica)]


async def save_heartbeat(connection: StoreConnection, replica: Replica, refusal: ConfigRefusal | None = None) -> None:
    """Keep a sign of life with the edit that the replica refuses, and forget those who have been dead for a day."""
    values = asdict(replica) | {"refusal": refusal.as_dict() if refusal else None}
    changed = await connection.execute(update(replicas).where(replicas.c.id == replica.id).values(values))
    if changed.rowcount == 0:
        await connection.execute(insert(replicas).values(values))
        await connection.execute(
            delete(replicas).where(replicas.c.alive_until < replica.seen_at - DEAD_REPLICA_RETENTION_SECONDS)
        )


async def touch(connection: StoreConnection, replica_id: str) -> None:
    """Write the replica's row as it is: a change that says nothing, for a replica that cannot trust its clock."""
    await connection.execute(update(replicas).where(replicas.c.id == replica_id).values(host=replicas.c.host))


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


async def clear_refusals(connection: StoreConnection) -> None:
    """Delete every refusal. A live replica writes its own again with its next beat; a dead one does not."""
    await connection.execute(update(replicas).where(replicas.c.refusal.is_not(None)).values(refusal=None))


async def deregister(connection: StoreConnection, replica_id: str) -> None:
    """The replica has ended: what it held is free."""
    await connection.execute(delete(leases).where(leases.c.replica == replica_id))
    await connection.execute(delete(replicas).where(replicas.c.id == replica_id))
