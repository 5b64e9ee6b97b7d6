"""Heartbeat: keeps this replica registered in the database, for the other replicas and for `/status`."""

from __future__ import annotations

from orchestrator.core.clock import Clock
from orchestrator.core.config_refusal import ConfigRefusal
from orchestrator.core.errors import ConfigError
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import replicas
from orchestrator.store.queries.replicas import Replica

MAX_CLOCK_SKEW_SECONDS = 1.0  # a replica must not consider another's intent expired before its owner does


class ReplicaHeartbeat:
    """Renews the replica's registration. Without a heartbeat for `timeout_seconds` the replica counts as dead."""

    def __init__(
        self, database: Database, *, replica: str, host: str, pid: int, clock: Clock, timeout_seconds: float
    ) -> None:
        self.interval_seconds = timeout_seconds / 10  # several heartbeats may fail before the replica counts as dead
        self._database = database
        self._now = clock.now
        self._boottime = clock.boottime
        # Wall clock minus boot clock when this machine's clock last agreed with the database's; None: it never did.
        self._agreed_offset: float | None = None
        self._timeout_seconds = timeout_seconds
        started_at = clock.now()
        self._replica = Replica(replica, host, pid, started_at, started_at, started_at + timeout_seconds)
        self._refusal: ConfigRefusal | None = None  # part of every heartbeat, so that a failed write is repeated

    async def start(self) -> None:
        """Register the replica, and clear the refusals of killed processes that still count as alive."""
        await self._database.write(replicas.clear_refusals)
        await self.beat()

    async def beat(self) -> None:
        """Extend this replica's registration. Called by the scheduler.

        While the clock of this machine is wrong no time is stored: the replica could count as alive for an hour after
        its end, or as dead now. It still writes something, because only a committed change ends an outage and nothing
        else is written meanwhile: otherwise `/readyz` would report an outage long after the database is back.
        """
        if not self.clock_agrees:
            await self._database.write(lambda tx: replicas.touch(tx, self._replica.id))
            return

        async def change(tx: Transaction) -> None:
            now = self._now()
            replica = replace(self._replica, seen_at=now, alive_until=now + self._timeout_seconds)
            await replicas.save_heartbeat(tx, replica, self._refusal)

        await self._database.write(change)

    async def set_refusal(self, refusal: ConfigRefusal | None) -> None:
        """Store which edit this replica refuses; None when it accepts the newest one."""
        if refusal != self._refusal:
            self._refusal = refusal
            await self.beat()

    async def check_clock(self) -> None:
        """Compare this machine's clock with the database's. Raises ConfigError when they differ too much.

        SQLite has no clock of its own, so there the check always passes.
        """
        if self._database.is_sqlite:
            return
        before = self._now()
        async with self._database.read() as connection:
            server_time = await replicas.get_server_time(connection)
        after = self._now()
        skew = (before + after) / 2 - server_time
        self._agreed_offset = None
        if abs(skew) > MAX_CLOCK_SKEW_SECONDS + (after - before) / 2:
            raise ConfigError(
                f"this machine's clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the database's",
                hint="Synchronise both clocks with the same time service (NTP): replicas compare each other's times.",
            )
        self._agreed_offset = after - self._boottime()

    @property
    def clock_agrees(self) -> bool:
        """Whether this machine's clock agreed with the database's at the last check and was not set since then.

        On a clock that is an hour ahead every other replica seems dead and every intent seems over. A replica that
        acted on that would create, and pay for, jobs a second time.
        """
        if self._database.is_sqlite:
            return True
        return (
            self._agreed_offset is not None
            and abs(self._now() - self._boottime() - self._agreed_offset) <= MAX_CLOCK_SKEW_SECONDS
        )

    async def deregister(self) -> None:
        """Remove the replica, so that its account leases are free at once."""
        await self._database.write(lambda tx: replicas.deregister(tx, self._replica.id))
