"""Webhooks that came in: each makes the job it is about due now, once. What became of it, the provider is asked."""

from __future__ import annotations

from collections.abc import Callable

from structlog.stdlib import BoundLogger

from orchestrator.core.job import Job
from orchestrator.core.webhook import Webhook, wake
from orchestrator.store import outcomes, webhooks
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.database import Database

CAUSE = "webhook"


class Ear:
    """Takes genuine webhooks. `nudge` is called when a job may be due earlier than was known."""

    def __init__(
        self,
        *,
        nudge: Callable[[], None],
        now: Callable[[], float],
        shortest: float,
        log: BoundLogger,
    ) -> None:
        self._nudge = nudge
        self._now = now
        self._shortest = shortest
        self._log = log

    async def hear(self, database: Database, account: str, webhook: Webhook) -> None:
        """Remember it and wake its job, in one transaction. One that came before or is about no job does nothing."""
        woken = await database.write(lambda connection: self._take(connection, account, webhook))
        if woken is not None:
            self._log.info("webhook.woke", account=account, job=woken.id, remote_job=woken.remote_job_id)
            self._nudge()

    async def _take(self, connection: AsyncConnection, account: str, webhook: Webhook) -> Job | None:
        now = self._now()
        if not await webhooks.remember(connection, account, webhook.id, now) or webhook.remote_job_id is None:
            return None
        job = await webhooks.subject(connection, account, webhook.remote_job_id)
        if job is None:
            return None
        await webhooks.seen(connection, account, now)
        outcome = wake(job, now=now, shortest=self._shortest)
        if outcome is None:
            return None
        await outcomes.record(connection, outcome, at=now, cause=CAUSE)
        return outcome.job
