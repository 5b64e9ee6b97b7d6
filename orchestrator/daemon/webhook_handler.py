"""Handles webhooks of providers: each makes its job due now. The job's state is still read from the API."""

from __future__ import annotations

from collections.abc import Callable

from structlog.stdlib import BoundLogger

from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.provider_webhook import ProviderWebhook, wake_job
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import outcomes, webhooks

CAUSE = "webhook"  # stored with each event: a webhook changed the job


class WebhookHandler:
    """Handles webhooks whose signature was verified. Calls `wake_dispatch` after it has made a job due."""

    def __init__(
        self,
        *,
        wake_dispatch: Callable[[], None],
        now: Callable[[], float],
        min_poll_seconds: float,
        log: BoundLogger,
    ) -> None:
        self._wake_dispatch = wake_dispatch
        self._now = now
        self._min_poll_seconds = min_poll_seconds
        self._log = log

    async def handle(self, database: Database, account: str, webhook: ProviderWebhook) -> None:
        """Store the webhook's id and wake its job, in one transaction. Repeated or unrelated webhooks do nothing."""
        woken = await database.write(lambda tx: self._record_and_wake(tx, account, webhook))
        if woken is not None:
            self._log.info("webhook.job_woken", account=account, job=woken.id, remote_job=woken.remote_job_id)
            self._wake_dispatch()

    async def _record_and_wake(self, tx: Transaction, account: str, webhook: ProviderWebhook) -> Job | None:
        now = self._now()
        if not await webhooks.insert_if_new(tx, account, webhook.id, now) or webhook.remote_job_id is None:
            return None
        job = await webhooks.find_job(tx.connection, account, webhook.remote_job_id)
        if job is None:
            return None
        await webhooks.save_last_webhook(tx, account, now)
        outcome = wake_job(job, now=now, min_delay=self._min_poll_seconds)
        if outcome is None:
            return None
        await outcomes.record(tx, outcome, at=now, cause=CAUSE)
        return outcome.job
