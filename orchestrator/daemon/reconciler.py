"""Reconciler: the one loop. Load a job, do the one thing it needs, record what came of it.

The order of every paid step: write the intent, look whether it happened already, act before the deadline, record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_never

from structlog.stdlib import BoundLogger

from orchestrator.core.account import Account
from orchestrator.core.clock import Clock
from orchestrator.core.errors import (
    AmbiguousRemoteJob,
    BudgetExceeded,
    DatabaseUnavailable,
    DatasetChanged,
    Failure,
    JobLimitReached,
    ProviderError,
    StaleJob,
    UnknownOutcome,
)
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs import next_action as act
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.lifecycle import AT_PROVIDER_STATES, TERMINAL_STATES, JobEvent, JobState
from orchestrator.core.jobs.observer import NULL_OBSERVER, ServiceObserver
from orchestrator.core.jobs.retry_policy import FailJob, HoldAccount, RetryAt, backoff, decide_retry, get_retry_hint
from orchestrator.core.jobs.stall import with_warning
from orchestrator.core.jobs.transitions import (
    Outcome,
    advance,
    fail_job,
    hold_job,
    renew_intent,
    retry_later,
    sleep_until,
)
from orchestrator.core.plans.budget import find_budget_hold, month_start
from orchestrator.core.secret import Redactor
from orchestrator.daemon.dataset_files import DatasetFiles, upload_timeout_seconds
from orchestrator.daemon.duration_estimator import DurationEstimator
from orchestrator.daemon.job_loader import JobLoader
from orchestrator.daemon.outcome_log import log_job_warning, log_model_ready, log_outcome
from orchestrator.daemon.provider_steps import Identify, ProviderSteps, StepTiming
from orchestrator.planning.base_models import TimeLimit
from orchestrator.providers.base import Deadline, ProviderConnection
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.outage import describe_error
from orchestrator.store.queries import costs, jobs, outcomes

SLOT_RECHECK_SECONDS = 60.0  # seconds between two looks for a free slot, should a wake-up be lost
UNKNOWN_ACCOUNT_RECHECK_SECONDS = (
    10.0  # seconds between two looks at a job whose account is not in this replica's accounts file
)
CAUSE = "service"
INTERNAL_ERROR_HINT = (
    "Internal error. Please report it with the `job.internal_error` log lines. It will be retried automatically."
)
UNKNOWN_STATE_HINT = (
    "The remote job's state cannot be determined. Run `orchestrator release ACCOUNT` to check again; no duplicate "
    "will be created."
)


class _ClockChanged(Exception):
    """This machine's clock was set, and what is stored does not follow it yet. Nothing is done until it does."""


class Reconciler:
    """Moves one job at a time; any number of them may be moved at once."""

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, ProviderConnection],
        *,
        load: JobLoader,
        identify: Identify,
        redact: Redactor,
        clock: Clock,
        jitter: Callable[[], float],
        timing: StepTiming,
        datasets: Path,
        replica: str,
        log: BoundLogger,
        observer: ServiceObserver = NULL_OBSERVER,
        time_limit: TimeLimit = asyncio.timeout,
        clock_agrees: Callable[[], bool] = lambda: True,
        failpoint: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._database = database
        self._load = load
        self._connections = connections
        lasting = DurationEstimator(database)
        self._steps = ProviderSteps(
            identify=identify,
            clock=clock,
            jitter=jitter,
            timing=timing,
            duration_estimator=lasting,
            log=log,
            time_limit=time_limit,
        )
        self._redact = redact
        self._clock = clock
        self._jitter = jitter
        self._timing = timing
        self._dataset_files = DatasetFiles(database, datasets)
        self._log = log
        self._replica = replica
        self._observer = observer
        self._clock_agrees = clock_agrees  # with the times that are stored; else no intent is to be trusted
        self._failpoint = failpoint  # told the named points of a step, for those who test what a crash there does

    async def handle(self, job_id: JobId) -> None:
        """Move the job until it waits. Whatever goes wrong stays with this job."""
        try:
            if loaded := await self._load(job_id):
                self._observer.job_woken(loaded.job, self._clock.now())
            while loaded is not None:
                self._check_clock()
                loaded = await self._step(loaded)
        except StaleJob as error:
            self._log.info("job.version_conflict", job=job_id, message=str(error))
        except (DatabaseUnavailable, _ClockChanged):  # the job is still due, so do not spin on it
            await asyncio.sleep(self._timing.poll_min_seconds)
        except Exception as error:  # noqa: BLE001 - one broken job never stops the others
            self._log.exception("job.internal_error", job=job_id, message=describe_error(error))
            await self._record_internal_error(job_id, error)

    async def _record_internal_error(self, job_id: JobId, error: Exception) -> None:
        """A bug of ours: show it with the job, and try again later and later."""
        failure = Failure("internal_error", f"{type(error).__name__}: {describe_error(error)}", INTERNAL_ERROR_HINT)
        try:
            if loaded := await self._load(job_id):
                until = self._clock.now() + backoff(loaded.job.attempts, self._jitter())
                await self._record(
                    retry_later(loaded.job, failure, until=until, counts_as_attempt=True, maybe_sent=True)
                )
        except Exception:  # noqa: BLE001 - as above; the job is still due, so do not spin on it
            await asyncio.sleep(self._timing.poll_min_seconds)

    async def _step(self, loaded: jobs.LoadedJob) -> jobs.LoadedJob | None:
        """One step. What the next one starts from, when it is due already."""
        connected = self._connections.get(loaded.job.account)
        action = act.next_action(loaded.job, self._build_context(loaded, connected), self._clock.now())
        outcome = await self._execute(action, loaded, connected)
        if not isinstance(action, act.Idle):  # what rests is held, or ready and waits for a slot: its status says so
            outcome = with_warning(
                loaded.job, outcome, now=self._clock.now(), stall_seconds=self._timing.stalled_after_seconds
            )
        self._failpoint(f"{loaded.job.state}: before record")
        job = await self._record(outcome, rebase_on_cancel=True)
        self._failpoint(f"{loaded.job.state}: after record")
        if job.wake_at is None or job.wake_at > self._clock.now():
            return None
        if job.state is JobState.READY:  # before money is spent, whatever may have changed meanwhile is looked at
            return await self._load(job.id)
        return loaded.with_outcome(outcome, job)

    def _build_context(self, loaded: jobs.LoadedJob, connection: ProviderConnection | None) -> act.JobContext:
        return act.JobContext(
            account_verified=loaded.account_state.verified_at is not None,
            run_started=loaded.run.started_at is not None,
            has_free_slot=connection is not None and loaded.used_slots < connection.account.max_running_jobs,
            holds=act.list_job_holds(loaded.job, loaded.run, loaded.account_state),
        )

    async def _execute(
        self, action: act.Action, loaded: jobs.LoadedJob, connection: ProviderConnection | None
    ) -> Outcome:
        job, now = loaded.job, self._clock.now()
        match action:
            case act.Idle():
                return sleep_until(job, self._next_check(loaded, now))
            case act.Wait(until):
                return sleep_until(job, until)
            case act.CancelLocally():
                return advance(job, JobEvent.CANCELLED, now=now)
            case _ if connection is None:  # another replica may know the account
                return sleep_until(job, now + UNKNOWN_ACCOUNT_RECHECK_SECONDS)
            case _:
                return await self._execute_at_provider(action, loaded, connection)

    async def _execute_at_provider(
        self, action: act.Action, loaded: jobs.LoadedJob, connection: ProviderConnection
    ) -> Outcome:
        """The actions that speak to the provider."""
        job, provider = loaded.job, connection.provider
        match action:
            case act.VerifyAccount():
                return await self._attempt(job, self._steps.verify(loaded, connection))
            case act.UploadFiles():
                return await self._upload(loaded, connection)
            case act.CheckFiles():
                return await self._attempt(job, self._steps.check_file(job, provider))
            case act.SubmitJob():
                return await self._submit(loaded, connection)
            case act.ResolveRemoteJob():
                return await self._attempt(job, self._steps.resolve(job, provider, loaded))
            case act.PollRemoteJob():
                return await self._attempt(job, self._steps.poll(job, provider, loaded))
            case act.CancelRemoteJob():
                return await self._attempt(job, self._steps.cancel(job, provider))
            case act.Idle() | act.Wait() | act.CancelLocally():
                raise AssertionError("needs no provider")
            case _:
                assert_never(action)

    async def _upload(self, loaded: jobs.LoadedJob, connection: ProviderConnection) -> Outcome:
        job, provider = loaded.job, connection.provider
        try:
            files = await self._dataset_files.get_verified_files(loaded)
        except DatasetChanged as error:
            until = self._clock.now() + backoff(job.attempts, self._jitter())
            return retry_later(job, Failure.from_error(error), until=until, counts_as_attempt=True, maybe_sent=True)
        seconds = self._timing.intent_seconds + upload_timeout_seconds(files, provider.capabilities)
        job, deadline = await self._write_intent(job, JobEvent.UPLOAD_STARTED, seconds)
        return await self._attempt(job, self._steps.upload(job, provider, files, deadline), deadline)

    async def _submit(self, loaded: jobs.LoadedJob, connection: ProviderConnection) -> Outcome:
        try:
            job, deadline = await self._write_intent(
                loaded.job, JobEvent.SUBMIT_STARTED, self._timing.intent_seconds, connection.account
            )
        except JobLimitReached:
            return sleep_until(loaded.job, self._next_check(loaded, self._clock.now()))
        except BudgetExceeded as error:
            return hold_job(loaded.job, Hold(HoldKind.OVER_BUDGET, error.message, error.hint))
        if job.provider in loaded.run.pins:  # what the provider chose may have become known just now
            loaded = await self._load(job.id) or loaded
        return await self._attempt(job, self._steps.submit(job, connection.provider, loaded, deadline), deadline)

    async def _write_intent(
        self, job: Job, event: JobEvent, seconds: float, limits_of: Account | None = None
    ) -> tuple[Job, Deadline]:
        """Write the intent, durably, before anything is sent. A repeated attempt gets a fresh one.

        Raises JobLimitReached or BudgetExceeded when the limits of the account `within` which it is to be do not
        allow it.
        """
        deadline = Deadline(self._clock.boottime() + seconds, self._clock.boottime)
        now = self._clock.now()
        self._check_clock()  # after `now` was read: an intent by a clock that was just set would end too early
        until = now + seconds
        if job.state in {JobState.UPLOADING, JobState.SUBMITTING}:
            outcome, limits_of = renew_intent(job, until=until), None  # it has its slot
        else:
            submitted: dict[str, Any] = {"submitted_at": now} if event is JobEvent.SUBMIT_STARTED else {}
            outcome = advance(job, event, now=now, intent_until=until, wake_at=until, **submitted)
        job = await self._record(outcome, limits_of=limits_of)
        self._failpoint(f"{job.state}: after intent")
        return job, deadline

    async def _attempt(self, job: Job, work: Awaitable[Outcome], deadline: Deadline | None = None) -> Outcome:
        """Do it; turn what goes wrong into a decision.

        What was perhaps sent keeps its intent, until its `deadline` by the clock as it is now: it may have been set.
        """
        try:
            return await work
        except AmbiguousRemoteJob as error:
            intent_until = self._intent_until(job, deadline) if error.create_sent else None
            return hold_job(replace(job, intent_until=intent_until), Hold(error.kind, error.message, error.hint))
        except UnknownOutcome as error:
            return self._decide(replace(job, intent_until=self._intent_until(job, deadline)), error)
        except ProviderError as error:
            return self._decide(job, error)

    def _intent_until(self, job: Job, deadline: Deadline | None) -> float | None:
        return job.intent_until if deadline is None else self._clock.now() + deadline.seconds_left

    def _check_clock(self) -> None:
        if not self._clock_agrees():
            raise _ClockChanged

    def _decide(self, job: Job, error: ProviderError) -> Outcome:
        now = self._clock.now()
        failure = Failure.from_error(error)
        match decide_retry(error, job.attempts, now, self._jitter()):
            case RetryAt(at, counts):
                failure = replace(failure, hint=get_retry_hint(error, at))
                return retry_later(
                    job, failure, until=at, counts_as_attempt=counts, maybe_sent=isinstance(error, UnknownOutcome)
                )
            case HoldAccount():
                return self._hold_account(job, failure)
            case FailJob() if (
                job.state in AT_PROVIDER_STATES
            ):  # what may be there has not failed because it cannot be seen
                return hold_job(
                    job, Hold(failure.kind, failure.message, UNKNOWN_STATE_HINT), request_id=error.request_id
                )
            case FailJob():
                return fail_job(job, error, now=now)

    def _hold_account(self, job: Job, failure: Failure) -> Outcome:
        reason = Hold(failure.kind, failure.message, failure.hint)
        self._log.warning(
            "account.held", account=job.account, kind=reason.kind, message=reason.reason, hint=reason.hint
        )
        return replace(
            sleep_until(replace(job, intent_until=None), None, failure=failure),
            account_update=lambda standing: replace(standing, hold=reason, verified_at=None),
        )

    async def _record(
        self, outcome: Outcome, *, limits_of: Account | None = None, rebase_on_cancel: bool = False
    ) -> Job:
        """Commit the outcome with its history and its next wake-up, all or nothing. Returns the job as it is now.

        `within` an account's limits, or not at all: then it raises JobLimitReached or BudgetExceeded. What an attempt
        has brought is recorded also when a cancel was asked meanwhile; an intent never is.
        """
        at = self._clock.now()
        outcome = outcome.redacted(self._redact, replica=self._replica)

        async def change(connection: StoreConnection) -> Outcome | JobLimitReached | BudgetExceeded | StaleJob:
            if limits_of is not None and (
                refusal := await _find_submit_blocker(connection, outcome.job, limits_of, at)
            ):
                return refusal
            if await outcomes.record(connection, outcome, at=at, cause=CAUSE, caller_continues=True):
                return outcome
            again = await outcomes.record_rebased(connection, outcome, at, CAUSE) if rebase_on_cancel else None
            return again or StaleJob(f"version {outcome.job.version - 1} of the job is no longer the latest")

        alone = limits_of is not None or outcome.job.state in TERMINAL_STATES
        if alone or not await self._database.write_batched(
            _record_all, (outcome, at), deferrable=outcome.label is None and not outcome.is_warning_new
        ):
            recorded = await self._database.write(change)
            if isinstance(recorded, Exception):
                raise recorded
            outcome = recorded
        self._observer.outcome_recorded(outcome)
        log_job_warning(self._log, outcome)
        if outcome.label is not None:
            log_outcome(self._log, outcome)
            connected = self._connections.get(outcome.job.account)
            log_model_ready(self._log, outcome, connected.key_fingerprint if connected else None)
        return outcome.job

    def _next_check(self, loaded: jobs.LoadedJob, now: float) -> float | None:
        """When a resting job is looked at again: when its hold ends, or now and then for a slot."""
        times = [reason.until for reason in (loaded.job.hold, loaded.account_state.hold) if reason and reason.until]
        if loaded.job.state is JobState.READY and loaded.run.current and loaded.run.started_at:
            times.append(now + SLOT_RECHECK_SECONDS)
        return min(times, default=None)


async def _record_all(connection: StoreConnection, steps: Sequence[tuple[Outcome, float]]) -> list[bool]:
    return await outcomes.record_many(connection, steps, cause=CAUSE)


async def _find_submit_blocker(
    connection: StoreConnection, job: Job, account: Account, now: float
) -> JobLimitReached | BudgetExceeded | None:
    """Why the job may not be submitted now, in the transaction that would write its intent."""
    if why := await jobs.find_submit_blocker(connection, job, account.max_running_jobs):
        return JobLimitReached(why)
    if account.budget_usd is None:
        return None
    committed = await costs.get_committed(connection, account.name, job.run_id, month_start(now))
    over = find_budget_hold(account, job.estimated_usd, committed)
    return BudgetExceeded(over.reason, hint=over.hint) if over else None
