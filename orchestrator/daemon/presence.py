"""Presence: this replica's sign of life in the database, for its fellows and for `/status`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.core.replica import Replica
from orchestrator.store import replicas
from orchestrator.store.database import Database


class Presence:
    """Beats. After `silence` seconds without a beat the replica counts as dead."""

    def __init__(
        self, database: Database, *, replica: str, host: str, pid: int, now: Callable[[], float], silence: float
    ) -> None:
        self.beat_seconds = silence / 10
        self._database = database
        self._now = now
        self._silence = silence
        started_at = now()
        self._replica = Replica(replica, host, pid, started_at, started_at, started_at + silence)

    async def beat(self) -> None:
        """Be alive for another while. A tick."""

        async def change(connection: AsyncConnection) -> None:
            now = self._now()
            await replicas.beat(connection, replace(self._replica, seen_at=now, alive_until=now + self._silence))

        await self._database.write(change)

    async def leave(self) -> None:
        """Be gone: what this replica held is free at once."""
        await self._database.write(lambda connection: replicas.leave(connection, self._replica.id))
