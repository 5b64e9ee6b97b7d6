"""Records outcomes of job steps in the database, then counts and logs them."""

# Theory of operation
#
# Most outcomes are committed in batches (`_record_many`), which saves most of the database's time with thousands of
# jobs. A change of its own (`_record_single`) is needed in three cases:
#
#   * an intent to submit: the limits of its account must be checked in the transaction that writes it
#   * a terminal state: it needs the state of all jobs of its run, to announce the end of the run
#   * an outcome that the batch refused as stale, because it may be rebased on a cancel request
#
# A job that succeeds requests its deployment in the same transaction, if its run has one: a process that dies between
# two transactions would otherwise leave a model that nobody deploys.
#
# Nothing is counted or logged before the commit: a line about a change that was rolled back would be wrong.

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from structlog.stdlib import BoundLogger

from orchestrator.core.account import Account
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.clock import Clock
from orchestrator.core.errors import BudgetExceeded, JobLimitReached, StaleJob
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.jobs.observer import NULL_OBSERVER, ServiceObserver
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.core.plans.budget import find_budget_hold, month_start
from orchestrator.core.secret import Redactor
from orchestrator.daemon.deployments.run_deployments import RunDeploymentTable
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import costs, jobs, outcomes
from orchestrator.store.queries.deployments import deployment_requests

CAUSE = "service"  # stored with each event: the service itself changed the job


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
        self, outcome: Outcome, *, limits_of: Account | None = None, rebase_on_cancel: bool = False
    ) -> Job:
        """Commit the outcome with its history and its next wake-up, all or nothing. Return the job as it is stored.

        Raises JobLimitReached or BudgetExceeded when the limits of the account `limits_of` do not allow the job, and
        StaleJob when the job was changed meanwhile. With `rebase_on_cancel` a cancel request is no such change.
        """
        at = self._clock.now()
        outcome = outcome.redacted(self._redact, replica=self._replica)
        must_be_single = limits_of is not None or outcome.job.state in TERMINAL_STATES
        if must_be_single or not await self._record_in_batch(outcome, at):
            outcome = await self._record_single(outcome, at, limits_of, rebase_on_cancel)
        self._report(outcome)
        return outcome.job

    async def _record_in_batch(self, outcome: Outcome, at: float) -> bool:
        """Record the outcome in one commit with those of other jobs; False when the job was changed meanwhile."""
        # A step that leaves no trace for a reader, such as a poll without news, does not cause a commit of its own.
        is_silent = outcome.label is None and not outcome.is_warning_new
        return await self._database.write_batched(_record_many, (outcome, at), deferrable=is_silent)

    async def _record_single(
        self, outcome: Outcome, at: float, limits_of: Account | None, rebase_on_cancel: bool
    ) -> Outcome:
        async def change(tx: Transaction) -> Outcome | JobLimitReached | BudgetExceeded | StaleJob:
            # Checked here and not before: between a check and another transaction a second job could take the slot.
            if limits_of is not None and (
                blocker := await _find_submit_blocker(tx.connection, outcome.job, limits_of, at)
            ):
                return blocker
            recorded: Outcome | None = outcome
            if not await outcomes.record(tx, outcome, at=at, cause=CAUSE, caller_continues=True):
                recorded = await outcomes.record_rebased(tx, outcome, at, CAUSE) if rebase_on_cancel else None
            if recorded is None:
                return StaleJob(f"version {outcome.job.version - 1} of the job is no longer the latest")
            if deployment := self._run_deployments.build_requested(recorded.job, at):
                await deployment_requests.request_deployments(tx, [deployment], at=at, cause=CAUSE)
            return recorded

        # `change` returns errors: an exception would make the group commit run all changes of its batch again.
        recorded = await self._database.write(change)
        if isinstance(recorded, Exception):
            raise recorded
        return recorded

    def _report(self, outcome: Outcome) -> None:
        """Count and log the outcome, after it was committed."""
        self._observer.outcome_recorded(outcome)
        _log_job_warning(self._log, outcome)
        if outcome.label is not None:
            _log_outcome(self._log, outcome)
            connection = self._connections.get(outcome.job.account)
            _log_model_ready(self._log, outcome, connection.key_fingerprint if connection else None)


async def _record_many(tx: Transaction, steps: Sequence[tuple[Outcome, float]]) -> list[bool]:
    # A function of the module, not of the instance: the group commit gathers the items of one function.
    return await outcomes.record_many(tx, steps, cause=CAUSE)


async def _find_submit_blocker(
    connection: StoreConnection, job: Job, account: Account, now: float
) -> JobLimitReached | BudgetExceeded | None:
    """Return why the account's limits do not allow the job now. Call it in the transaction that writes the intent."""
    if reason := await jobs.find_submit_blocker(connection, job, account.max_running_jobs, now):
        return JobLimitReached(reason)
    if account.budget_usd is None:
        return None
    committed = await costs.get_committed(connection, account.name, job.run_id, month_start(now))
    hold = find_budget_hold(account, job.estimated_usd, committed)
    return BudgetExceeded(hold.reason, hint=hold.hint) if hold else None


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
