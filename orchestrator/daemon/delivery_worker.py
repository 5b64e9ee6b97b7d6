"""Courier: tells the targets of the accounts file what was announced: at least once, and again until they took it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from structlog.stdlib import BoundLogger

from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.core.notifications.delivery import Delivery, NotificationTarget, after_attempt
from orchestrator.notify.base import Sender
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import deliveries

BATCH_SIZE: Final = 10
MAX_CONCURRENT_SENDS_PER_TARGET: Final = 5  # attempts under way at one target
CLAIM_SECONDS: Final = 120.0  # a batch takes less, so that what is due again then was lost
FAN_OUT_BATCH_SIZE: Final = 500  # announcements in one transaction
FAILED_DELIVERIES_HINT: Final = (
    "`orchestrator deliveries list --dead` lists what was given up, `… retry` begins again."
)
SHUTDOWN_GRACE_SECONDS: Final = 3.0  # for what is told when the process ends


@dataclass(frozen=True, slots=True)
class DeliveryEndpoint:
    """A target and how to tell it."""

    target: NotificationTarget
    send: Sender


class DeliveryWorker:
    """One task for each target at work, so that one that is slow keeps nobody waiting."""

    def __init__(
        self,
        database: Database,
        endpoints: Mapping[str, DeliveryEndpoint],
        *,
        now: Callable[[], float],
        jitter: Callable[[], float],
        log: BoundLogger,
    ) -> None:
        self._database = database
        self._endpoints = endpoints
        self._now = now
        self._jitter = jitter
        self._log = log
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by target

    @property
    def active_tasks(self) -> Collection[asyncio.Task[None]]:
        """What is under way: a task for each target."""
        return list(self._tasks.values())

    async def tick(self) -> None:
        """Address what was announced, and begin with what is due. A tick."""
        now = self._now()
        async with self._database.read() as connection:
            news = await deliveries.has_pending_notifications(connection)
        if news:
            wanted = {name: addressee.target.topics for name, addressee in self._endpoints.items()}
            await self._database.write(lambda c: deliveries.fan_out(c, wanted, now, FAN_OUT_BATCH_SIZE))
        async with self._database.read() as connection:
            waiting = await deliveries.list_due_targets(connection, now)
        for name in waiting & self._endpoints.keys() - self._tasks.keys():
            self._tasks[name] = asyncio.create_task(
                self._deliver_all_due(name, self._endpoints[name]), name=f"tell {name}"
            )

    async def purge(self) -> None:
        """Delete what has long ended. A tick."""
        now = self._now()
        await self._database.write(lambda c: deliveries.delete_old(c, now))

    async def flush(self) -> None:
        """Tell what can be told in a moment; the rest is told after the next start."""
        try:
            async with asyncio.timeout(SHUTDOWN_GRACE_SECONDS):
                await self.tick()
                await asyncio.gather(*self.active_tasks)
        except (TimeoutError, DatabaseUnavailable) as error:
            self._log.info("deliveries.pending_at_shutdown", message=str(error) or "some targets have not answered")
        for task in self.active_tasks:
            task.cancel()

    async def _deliver_all_due(self, name: str, endpoint: DeliveryEndpoint) -> None:
        """Everything that is due for one target."""
        try:
            while batch := await self._claim(name):
                await self._send_batch(batch, endpoint)
        except DatabaseUnavailable:
            pass  # the outage is logged already; what is due stays due
        except Exception:  # noqa: BLE001 - one broken target never stops the others
            self._log.exception("delivery.internal_error", target=name)
        finally:
            del self._tasks[name]

    async def _claim(self, name: str) -> list[Delivery]:
        now = self._now()
        return await self._database.write(
            lambda c: deliveries.claim(c, name, now=now, until=now + CLAIM_SECONDS, limit=BATCH_SIZE)
        )

    async def _send_batch(self, batch: list[Delivery], endpoint: DeliveryEndpoint) -> None:
        slots = asyncio.Semaphore(MAX_CONCURRENT_SENDS_PER_TARGET)

        async def tell(delivery: Delivery) -> str | None:
            async with slots:
                return await endpoint.send(delivery, self._now())

        errors = await asyncio.gather(*(tell(delivery) for delivery in batch))
        now = self._now()
        ends = [
            after_attempt(delivery, error, now=now, jitter=self._jitter())
            for delivery, error in zip(batch, errors, strict=True)
        ]

        async def change(connection: StoreConnection) -> None:
            for end in ends:
                await deliveries.record_attempt(connection, end)

        await self._database.write(change)
        for end in ends:
            self._log_result(end)

    def _log_result(self, delivery: Delivery) -> None:
        told = {"target": delivery.target, "topic": delivery.topic, "delivery": delivery.id}
        if delivery.delivered_at is not None:
            self._log.info("delivery.succeeded", **told, attempts=delivery.attempts)
        elif delivery.is_failed:
            self._log.error("delivery.gave_up", **told, error=delivery.error, hint=FAILED_DELIVERIES_HINT)
        else:
            self._log.warning("delivery.retry_scheduled", **told, attempts=delivery.attempts, error=delivery.error)
