"""Records outcomes of job steps in the database, then counts and logs them."""

# Theory of operation
#
# All outcomes that wait for the same commit are written together (`outcome_batch.py`): intents, whose limits are
# checked in the transaction that writes them, ends, which may end their runs, and everything else.
#
# Nothing is counted or logged before the commit: a line about a change that was rolled back would be wrong.

from __future__ import annotations

import logging
from collections.abc import Mapping

from structlog.stdlib import BoundLogger

from orchestrator.core.account import Account
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.clock import Clock
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.observer import NULL_OBSERVER, ServiceObserver
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.core.secret import Redactor
from orchestrator.daemon.deployments.run_deployments import RunDeploymentTable
from orchestrator.daemon.outcome_batch import RecordRequest, record_batch
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.db.database import Database


class OutcomeRecorder:
    """Commits the outcomes of one replica's steps."""

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, ProviderConnection],
        *,
        redact: Redactor,
        clock: Clock,
        replica: str,
        log: BoundLogger,
        observer: ServiceObserver = NULL_OBSERVER,
        run_deployments: RunDeploymentTable | None = None,
    ) -> None:
        self._run_deployments = run_deployments or RunDeploymentTable()
        self._database = database
        self._connections = connections
        self._redact = redact
        self._clock = clock
        self._replica = replica
        self._log = log
        self._observer = observer

    async def record(
        self,
        outcome: Outcome,
        *,
        limits_of: Account | None = None,
        stops_if_held: bool = False,
        rebase_on_cancel: bool = False,
    ) -> Job:
        """Commit the outcome with its history and its next wake-up, all or nothing. Return the job as it is stored.

        Raises JobLimitReached or BudgetExceeded when the limits of the account `limits_of` do not allow the job, and
        StaleJob when the job was changed meanwhile. With `stops_if_held`, which `limits_of` implies, a hold of its
        account or run is such a change; with `rebase_on_cancel` a cancel request is none.
        """
        request = RecordRequest(
            outcome=outcome.redacted(self._redact, replica=self._replica),
            at=self._clock.now(),
            limits_of=limits_of,
            stops_if_held=stops_if_held or limits_of is not None,
            rebase_on_cancel=rebase_on_cancel,
            build_deployment=self._run_deployments.build_requested,
        )
        # A step that leaves no trace for a reader, such as a poll without news, does not cause a commit of its own.
        is_silent = outcome.label is None and not outcome.is_warning_new
        recorded = await self._database.write_batched(record_batch, request, deferrable=is_silent)
        if isinstance(recorded, Exception):
            raise recorded
        self._report(recorded)
        return recorded.job

    def _report(self, outcome: Outcome) -> None:
        """Count and log the outcome, after it was committed."""
        self._observer.outcome_recorded(outcome)
        _log_job_warning(self._log, outcome)
        if outcome.label is not None:
            _log_outcome(self._log, outcome)
            connection = self._connections.get(outcome.job.account)
            _log_model_ready(self._log, outcome, connection.key_fingerprint if connection else None)


def _log_outcome(log: BoundLogger, outcome: Outcome) -> None:
    """Log an outcome that has a line in the history: at level warning where an attempt failed, otherwise info."""
    job, failure = outcome.job, outcome.failure
    log.log(
        logging.WARNING if failure else logging.INFO,
        "job.state_changed" if job.state is not outcome.previous_state else "job.updated",
        account=job.account,
        what=outcome.label,
        before=outcome.previous_state,
        after=job.state,
        attempt=job.attempts,
        job=job.id,
        file=job.remote_file_id,
        remote_job=job.remote_job_id,
        request_id=outcome.request_id,
        **({"kind": failure.kind, "message": failure.message, "hint": failure.hint} if failure else {}),
    )


def _log_job_warning(log: BoundLogger, outcome: Outcome) -> None:
    """Log the job's warning, if this outcome is the first to have it."""
    job, warning = outcome.job, outcome.job.warning
    if outcome.is_warning_new and warning is not None:
        log.warning(
            "job.warned",
            account=job.account,
            job=job.id,
            state=job.state,
            remote_job=job.remote_job_id,
            kind=warning.kind,
            message=warning.message,
            hint=warning.hint,
        )


def _log_model_ready(log: BoundLogger, outcome: Outcome, key_fingerprint: str | None) -> None:
    """Log the model id when the job has just succeeded."""
    job = outcome.job
    if job.state is JobState.SUCCEEDED:
        log.info(
            "model.ready",
            account=job.account,
            provider=job.provider,
            key=key_fingerprint,
            base_model=job.base_model,
            fine_tuned_model=job.fine_tuned_model,
            servable=job.servable,
            **({} if job.servable else {"serving": CAPABILITIES[job.provider].serving}),
        )
