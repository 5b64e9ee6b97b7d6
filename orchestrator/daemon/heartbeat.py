"""Presence: this replica's sign of life in the database, for its fellows and for `/status`."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.clock import Clock
from orchestrator.core.config_refusal import ConfigRefusal
from orchestrator.core.errors import ConfigError
from orchestrator.core.replica import Replica
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import replicas

MAX_CLOCK_SKEW_SECONDS = 1.0  # seconds; an intent's deadline must not have passed here long before it has there


class ReplicaHeartbeat:
    """Beats. After `silence` seconds without a beat the replica counts as dead."""

    def __init__(
        self, database: Database, *, replica: str, host: str, pid: int, clock: Clock, timeout_seconds: float
    ) -> None:
        self.interval_seconds = timeout_seconds / 10
        self._database = database
        self._now = clock.now
        self._boottime = clock.boottime
        self._agreed_offset: float | None = (
            None  # the wall clock against the boot clock, when it agreed with the database's
        )
        self._timeout_seconds = timeout_seconds
        started_at = clock.now()
        self._replica = Replica(replica, host, pid, started_at, started_at, started_at + timeout_seconds)
        self._refusal: ConfigRefusal | None = None  # goes with every beat, so that a write that failed is made up for

    async def start(self) -> None:
        """Beat for the first time, and clear the refusals of processes that were killed and still count as alive."""
        await self._database.write(replicas.clear_refusals)
        await self.beat()

    async def beat(self) -> None:
        """Renew this replica's sign of life. A tick.

        A replica whose clock was set does not: by its clock it could outlive its end by an hour, or be dead. It still
        writes, without a time: only a committed change ends an outage, and no other work would make one while the
        clock is wrong, so `/readyz` would say "database away" long after the database is back.
        """
        if not self.clock_agrees:
            await self._database.write(lambda tx: replicas.touch(tx, self._replica.id))
            return

        async def change(tx: Transaction) -> None:
            now = self._now()
            sign = replace(self._replica, seen_at=now, alive_until=now + self._timeout_seconds)
            await replicas.save_heartbeat(tx, sign, self._refusal)

        await self._database.write(change)

    async def set_refusal(self, refusal: ConfigRefusal | None) -> None:
        """Store which edit this replica refuses; None when it accepts the newest one."""
        if refusal != self._refusal:
            self._refusal = refusal
            await self.beat()

    async def check_clock(self) -> None:
        """Raises ConfigError when this machine and the database differ about the time: replicas rely on it."""
        if self._database.is_sqlite:
            return
        before = self._now()
        async with self._database.read() as connection:
            there = await replicas.get_server_time(connection)
        after = self._now()
        skew = (before + after) / 2 - there
        self._agreed_offset = None
        if abs(skew) > MAX_CLOCK_SKEW_SECONDS + (after - before) / 2:
            raise ConfigError(
                f"this machine's clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the database's",
                hint="Set both by the same time service (NTP): replicas rely on it for what is still under way.",
            )
        self._agreed_offset = after - self._boottime()

    @property
    def clock_agrees(self) -> bool:
        """Whether this machine's clock agreed with the database's at the last check and was not set since.

        By a clock that is an hour ahead, every other replica is dead and every intent has ended: whoever acts on that
        pays for a job a second time.
        """
        if self._database.is_sqlite:
            return True
        return (
            self._agreed_offset is not None
            and abs(self._now() - self._boottime() - self._agreed_offset) <= MAX_CLOCK_SKEW_SECONDS
        )

    async def deregister(self) -> None:
        """Be gone: what this replica held is free at once."""
        await self._database.write(lambda tx: replicas.deregister(tx, self._replica.id))
