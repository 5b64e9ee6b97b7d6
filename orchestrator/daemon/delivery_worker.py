"""Delivers notifications to webhook and alert endpoints, at least once."""

# Theory of operation
#
# Notifications are written to an outbox table in the transaction of the change that they report
# (store/queries/notifications.py), so none is lost and none reports a change that was rolled back. This worker
#
#   1. fans each notification out into one delivery for every target that subscribes to its topic
#   2. claims due deliveries of a target for CLAIM_SECONDS, at most BATCH_SIZE at a time
#   3. sends them, at most MAX_CONCURRENT_SENDS_PER_TARGET at the same time
#   4. records each result: delivered, next attempt with back-off, or failed for good
#
# At least once: a process that dies between 3 and 4 leaves its claim behind. The claim expires, the delivery is due
# again, and the target gets the same message id a second time. Several replicas may run: transactions that write are
# serialised (store/db/postgresql.py), so no two of them claim the same delivery.
#
# There is one task for each target with due deliveries, so that a slow target does not delay the others. A task ends
# when nothing is due, and `tick` starts it again.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final

from structlog.stdlib import BoundLogger

from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.core.notifications.delivery import Delivery, NotificationTarget, after_attempt
from orchestrator.core.structs import Struct
from orchestrator.notify.base import Sender
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import deliveries

BATCH_SIZE: Final = 10
MAX_CONCURRENT_SENDS_PER_TARGET: Final = 5
CLAIM_SECONDS: Final = 120.0  # longer than any batch takes (two rounds of 10 s): an expired claim means a dead worker
FAN_OUT_BATCH_SIZE: Final = 500  # notifications in one transaction: other changes wait for it
FAILED_DELIVERIES_HINT: Final = (
    "List failed deliveries with `orchestrator deliveries list --dead` and retry them with "
    "`orchestrator deliveries retry`."
)
SHUTDOWN_GRACE_SECONDS: Final = 3.0  # for deliveries that are due when the process ends


class DeliveryEndpoint(Struct, frozen=True):
    """A target of the accounts file with the function that sends to it."""

    target: NotificationTarget
    send: Sender


class DeliveryWorker:
    """Runs one task for each target with due deliveries."""

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
        self._endpoints = endpoints  # by target; the caller replaces entries when the accounts file changes
        self._now = now
        self._jitter = jitter
        self._log = log
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by target

    @property
    def active_tasks(self) -> Collection[asyncio.Task[None]]:
        """The running tasks, one for each target at work."""
        return list(self._tasks.values())

    async def tick(self) -> None:
        """Fan out new notifications and start a task for every target with due deliveries. Called every second."""
        now = self._now()
        async with self._database.read() as connection:
            has_pending = await deliveries.has_pending_notifications(connection)
        if has_pending:
            topics = {name: endpoint.target.topics for name, endpoint in self._endpoints.items()}
            await self._database.write(lambda tx: deliveries.fan_out(tx, topics, now, FAN_OUT_BATCH_SIZE))
        async with self._database.read() as connection:
            due = await deliveries.list_due_targets(connection, now)
        for name in due & self._endpoints.keys() - self._tasks.keys():
            self._tasks[name] = asyncio.create_task(
                self._deliver_all_due(name, self._endpoints[name]), name=f"deliver to {name}"
            )

    async def purge(self) -> None:
        """Delete deliveries past their retention. Called every hour."""
        now = self._now()
        await self._database.write(lambda tx: deliveries.delete_old(tx, now))

    async def flush(self) -> None:
        """Send what can be sent within SHUTDOWN_GRACE_SECONDS; the rest is sent after the next start."""
        try:
            async with asyncio.timeout(SHUTDOWN_GRACE_SECONDS):
                await self.tick()
                await asyncio.gather(*self.active_tasks)
        except (TimeoutError, DatabaseUnavailable) as error:
            message = str(error) or f"some targets did not respond within {SHUTDOWN_GRACE_SECONDS:g} seconds"
            self._log.info("deliveries.pending_at_shutdown", message=message)
        for task in self.active_tasks:
            task.cancel()

    async def _deliver_all_due(self, name: str, endpoint: DeliveryEndpoint) -> None:
        try:
            while batch := await self._claim(name):
                await self._send_batch(batch, endpoint)
        except DatabaseUnavailable:
            pass  # the outage is logged already, and the deliveries stay due
        except Exception:  # noqa: BLE001 - one broken target never stops the others
            self._log.exception("delivery.internal_error", target=name)
        finally:
            del self._tasks[name]

    async def _claim(self, name: str) -> list[Delivery]:
        now = self._now()
        return await self._database.write(
            lambda tx: deliveries.claim(tx, name, now=now, until=now + CLAIM_SECONDS, limit=BATCH_SIZE)
        )

    async def _send_batch(self, batch: list[Delivery], endpoint: DeliveryEndpoint) -> None:
        slots = asyncio.Semaphore(MAX_CONCURRENT_SENDS_PER_TARGET)

        async def send(delivery: Delivery) -> str | None:
            async with slots:
                return await endpoint.send(delivery, self._now())

        errors = await asyncio.gather(*(send(delivery) for delivery in batch))
        now = self._now()
        results = [
            after_attempt(delivery, error, now=now, jitter=self._jitter())
            for delivery, error in zip(batch, errors, strict=True)
        ]

        async def change(tx: Transaction) -> None:
            for result in results:
                await deliveries.record_attempt(tx, result)

        await self._database.write(change)
        for result in results:
            self._log_result(result)

    def _log_result(self, delivery: Delivery) -> None:
        fields = {"target": delivery.target, "topic": delivery.topic, "delivery": delivery.id}
        if delivery.delivered_at is not None:
            self._log.info("delivery.succeeded", **fields, attempts=delivery.attempts)
        elif delivery.is_failed:
            self._log.error("delivery.gave_up", **fields, error=delivery.error, hint=FAILED_DELIVERIES_HINT)
        else:
            self._log.warning("delivery.retry_scheduled", **fields, attempts=delivery.attempts, error=delivery.error)
