"""Courier: tells the targets of the accounts file what was announced: at least once, and again until they took it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from structlog.stdlib import BoundLogger

from orchestrator.alerts.base import Send
from orchestrator.core.delivery import Delivery, Target, settled
from orchestrator.core.errors import DatabaseAway
from orchestrator.store import deliveries
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.database import Database

BATCH: Final = 10
AT_ONCE: Final = 5  # attempts under way at one target
CLAIM_SECONDS: Final = 120.0  # a batch takes less, so that what is due again then was lost
ADDRESSED: Final = 500  # announcements in one transaction
DEAD_HINT: Final = "`orchestrator deliveries list --dead` lists what was given up, `… retry` begins again."
LAST_SECONDS: Final = 3.0  # for what is told when the process ends


@dataclass(frozen=True, slots=True)
class Addressee:
    """A target and how to tell it."""

    target: Target
    send: Send


class Courier:
    """One task for each target at work, so that one that is slow keeps nobody waiting."""

    def __init__(
        self,
        database: Database,
        addressees: Mapping[str, Addressee],
        *,
        now: Callable[[], float],
        jitter: Callable[[], float],
        log: BoundLogger,
    ) -> None:
        self._database = database
        self._addressees = addressees
        self._now = now
        self._jitter = jitter
        self._log = log
        self._busy: dict[str, asyncio.Task[None]] = {}  # by target

    @property
    def busy(self) -> Collection[asyncio.Task[None]]:
        """What is under way: a task for each target."""
        return list(self._busy.values())

    async def tick(self) -> None:
        """Address what was announced, and begin with what is due. A tick."""
        now = self._now()
        async with self._database.read() as connection:
            news = await deliveries.unaddressed(connection)
        if news:
            wanted = {name: addressee.target.topics for name, addressee in self._addressees.items()}
            await self._database.write(lambda c: deliveries.address(c, wanted, now, ADDRESSED))
        async with self._database.read() as connection:
            waiting = await deliveries.waiting(connection, now)
        for name in waiting & self._addressees.keys() - self._busy.keys():
            self._busy[name] = asyncio.create_task(self._serve(name, self._addressees[name]), name=f"tell {name}")

    async def forget(self) -> None:
        """Delete what has long ended. A tick."""
        now = self._now()
        await self._database.write(lambda c: deliveries.forget(c, now))

    async def finish(self) -> None:
        """Tell what can be told in a moment; the rest is told after the next start."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self.tick()
                await asyncio.gather(*self.busy)
        except (TimeoutError, DatabaseAway) as error:
            self._log.info("deliveries.left", message=str(error) or "some targets have not answered")
        for task in self.busy:
            task.cancel()

    async def _serve(self, name: str, addressee: Addressee) -> None:
        """Everything that is due for one target."""
        try:
            while batch := await self._claim(name):
                await self._tell(batch, addressee)
        except DatabaseAway:
            pass  # the outage is logged already; what is due stays due
        except Exception:  # noqa: BLE001 - one broken target never stops the others
            self._log.exception("delivery.broken", target=name)
        finally:
            del self._busy[name]

    async def _claim(self, name: str) -> list[Delivery]:
        now = self._now()
        return await self._database.write(
            lambda c: deliveries.claim(c, name, now=now, until=now + CLAIM_SECONDS, limit=BATCH)
        )

    async def _tell(self, batch: list[Delivery], addressee: Addressee) -> None:
        slots = asyncio.Semaphore(AT_ONCE)

        async def tell(delivery: Delivery) -> str | None:
            async with slots:
                return await addressee.send(delivery, self._now())

        errors = await asyncio.gather(*(tell(delivery) for delivery in batch))
        now = self._now()
        ends = [
            settled(delivery, error, now=now, jitter=self._jitter())
            for delivery, error in zip(batch, errors, strict=True)
        ]

        async def change(connection: AsyncConnection) -> None:
            for end in ends:
                await deliveries.settle(connection, end)

        await self._database.write(change)
        for end in ends:
            self._say(end)

    def _say(self, delivery: Delivery) -> None:
        told = {"target": delivery.target, "topic": delivery.topic, "delivery": delivery.id}
        if delivery.delivered_at is not None:
            self._log.info("delivery.arrived", **told, attempts=delivery.attempts)
        elif delivery.dead:
            self._log.error("delivery.dead", **told, error=delivery.error, hint=DEAD_HINT)
        else:
            self._log.warning("delivery.failed", **told, attempts=delivery.attempts, error=delivery.error)
