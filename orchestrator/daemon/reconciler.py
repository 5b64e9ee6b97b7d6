"""Moves a job through its lifecycle: load it, execute the one action it needs, record the outcome, repeat."""

# Theory of operation
#
# The dispatcher calls `Reconciler.handle` with the id of a due job, for one job of an account at a time. It repeats
# one step until the job waits:
#   1. load      the job with its run and its account state (`LoadedJob`)
#   2. decide    `next_action(job, context, now)`: pure, no I/O (core/jobs/next_action.py)
#   3. act       `ProviderSteps` calls the provider; the answer becomes an `Outcome` (core/jobs/transitions.py)
#   4. record    `OutcomeRecorder` commits the job, its history and its next wake-up in one transaction
#
# Exactly once. A remote job costs money, and a process may die between any two lines. So a paid step has this order:
#
#   write intent -> look the work up at the provider -> create it before the deadline -> record
#
#   * The intent (`intent_until`) is committed before anything is sent. A process that finds one knows that something
#     may have been sent, and looks the job up by its tag before it creates anything.
#   * The deadline of the request is at or before the end of the intent. A process that was frozen sends nothing after
#     it, so another process may rely on "the intent has ended, therefore nothing more arrives". The deadline is
#     measured on the boot clock, which nobody can set.
#   * `next_action` waits until the intent has ended, plus a grace time for lists that lag behind creates.
#
# Concurrency. `version` guards every record: the UPDATE names the version that the step started from. When an
# operator, a webhook or another replica has changed the job meanwhile, the outcome is discarded (`StaleJob`); the job
# is still due and is loaded again. Exception: a cancel request must not discard what the provider has done, so
# `rebase_on_cancel` applies an attempt's outcome on top of it. An intent is never rebased: it must not be sent.
#
# Errors. A provider error never leaves `_attempt`: `decide_retry` turns it into a later attempt, a held account or a
# failed job. An internal error stays with its job: it is logged, shown with the job and retried with back-off. While
# the database is unreachable nothing can be recorded, and the job stays due.
#
# A clock that was set. Until stored times are corrected (`clock_agrees`), an intent may seem over: no step is taken.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, assert_never

from structlog.stdlib import BoundLogger

from orchestrator.core.account import Account
from orchestrator.core.account_state import AccountHeld
from orchestrator.core.clock import Clock
from orchestrator.core.errors import (
    AmbiguousRemoteJob,
    BudgetExceeded,
    DatabaseUnavailable,
    DatasetChanged,
    Failure,
    JobLimitReached,
    ProviderError,
    SearchTooSlow,
    StaleJob,
    UnknownOutcome,
)
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs import next_action as act
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.lifecycle import AT_PROVIDER_STATES, JobEvent, JobState
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
from orchestrator.core.structs import replace
from orchestrator.daemon.dataset_files import DatasetFiles, upload_timeout_seconds
from orchestrator.daemon.job_loader import JobLoader
from orchestrator.daemon.outcome_recorder import OutcomeRecorder
from orchestrator.daemon.provider_steps import ProviderSteps, StepTiming
from orchestrator.providers.base import Deadline, ProviderConnection
from orchestrator.providers.http.response_decoder import MAX_LIST_SECONDS
from orchestrator.store.db.outage import describe_error
from orchestrator.store.queries import jobs

SLOT_RECHECK_SECONDS = 60.0  # a free slot wakes the waiting job; this is the fallback for a lost wake-up
UNKNOWN_ACCOUNT_RECHECK_SECONDS = 10.0  # for a job whose account is not in the accounts file of this replica
INTERNAL_ERROR_HINT = "Internal error. Please report it with the `job.internal_error` log lines. It will be retried."
UNKNOWN_STATE_HINT = (
    "The remote job's state cannot be determined. Run `orchestrator release ACCOUNT` to check again; no duplicate "
    "will be created."
)


class _ClockChanged(Exception):
    """The clock of this machine was set and the stored times were not corrected yet, so no step may be taken."""


class Reconciler:
    """Executes steps of jobs. Safe for concurrent use with different jobs."""

    def __init__(
        self,
        connections: Mapping[str, ProviderConnection],
        *,
        load: JobLoader,
        steps: ProviderSteps,
        recorder: OutcomeRecorder,
        dataset_files: DatasetFiles,
        clock: Clock,
        jitter: Callable[[], float],
        timing: StepTiming,
        log: BoundLogger,
        observer: ServiceObserver = NULL_OBSERVER,
        clock_agrees: Callable[[], bool] = lambda: True,
        failpoint: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._connections = connections  # by account; the caller replaces entries when the accounts file changes
        self._load = load
        self._steps = steps
        self._recorder = recorder
        self._dataset_files = dataset_files
        self._clock = clock
        self._jitter = jitter  # 0 to 1: spreads retries, so that many jobs do not call a provider at the same moment
        self._timing = timing
        self._log = log
        self._observer = observer
        self._clock_agrees = clock_agrees  # False: stored intents cannot be compared with this clock
        self._failpoint = failpoint  # called at named points of a step, so that tests can crash the process there
        self._is_stopping = False

    def stop(self) -> None:
        """Begin no further step: those at work end, and the jobs stay due. The next step of a job may spend money."""
        self._is_stopping = True

    async def handle(self, job_id: JobId) -> None:
        """Execute steps of the job until it waits. Never raises: an error stays with this job."""
        try:
            if loaded := await self._load(job_id):
                self._observer.job_woken(loaded.job, self._clock.now())
            while loaded is not None and not self._is_stopping:
                self._check_clock()
                loaded = await self._step(loaded)
        except StaleJob as error:
            self._log.info("job.version_conflict", job=job_id, message=str(error))
        except (DatabaseUnavailable, _ClockChanged):
            # The job is still due: without a pause it would be handled again at once.
            await asyncio.sleep(self._timing.poll_min_seconds)
        except Exception as error:  # noqa: BLE001 - one broken job never stops the others
            self._log.exception("job.internal_error", job=job_id, message=describe_error(error))
            await self._record_internal_error(job_id, error)

    async def _record_internal_error(self, job_id: JobId, error: Exception) -> None:
        """Show the internal error with the job and retry with back-off."""
        failure = Failure("internal_error", f"{type(error).__name__}: {describe_error(error)}", INTERNAL_ERROR_HINT)
        try:
            if loaded := await self._load(job_id):
                until = self._clock.now() + backoff(loaded.job.attempts, self._jitter())
                await self._recorder.record(
                    retry_later(loaded.job, failure, until=until, counts_as_attempt=True, maybe_sent=True)
                )
        except Exception:  # noqa: BLE001 - as above; the job is still due, hence the pause
            await asyncio.sleep(self._timing.poll_min_seconds)

    async def _step(self, loaded: jobs.LoadedJob) -> jobs.LoadedJob | None:
        """Execute one step. Return what the next step starts from, or None when the job is not due."""
        connection = self._connections.get(loaded.job.account)
        action = act.next_action(loaded.job, self._build_context(loaded, connection), self._clock.now())
        outcome = await self._execute(action, loaded, connection)
        if not isinstance(action, act.Idle):  # an idle job is held or waits for a slot, and its status shows that
            outcome = with_warning(
                loaded.job, outcome, now=self._clock.now(), stall_seconds=self._timing.stalled_after_seconds
            )
        self._failpoint(f"{loaded.job.state}: before record")
        job = await self._recorder.record(outcome, rebase_on_cancel=True)
        self._failpoint(f"{loaded.job.state}: after record")
        if isinstance(outcome.account_update, AccountHeld):
            await self._log_account_hold(job.id)
        if job.wake_at is None or job.wake_at > self._clock.now():
            return None
        if job.state is JobState.READY:  # the next step spends money: holds and slots must be up to date
            return await self._load(job.id)
        return loaded.with_outcome(outcome, job)

    def _build_context(self, loaded: jobs.LoadedJob, connection: ProviderConnection | None) -> act.JobContext:
        return act.JobContext(
            account_verified=loaded.account_state.verified_at is not None,
            run_started=loaded.run.started_at is not None,
            has_free_slot=connection is not None and loaded.used_slots < connection.account.max_running_jobs,
            holds=act.list_job_holds(loaded.job, loaded.run, loaded.account_state),
            is_submission_void=act.is_submission_void(loaded.job, loaded.run, self._clock.now()),
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
            case _ if connection is None:  # the accounts file of another replica may have the account
                return sleep_until(job, now + UNKNOWN_ACCOUNT_RECHECK_SECONDS)
            case _:
                return await self._execute_remotely(action, loaded, connection)

    async def _execute_remotely(
        self, action: act.RemoteAction, loaded: jobs.LoadedJob, connection: ProviderConnection
    ) -> Outcome:
        match action:
            case act.VerifyAccount():
                return await self._attempt(loaded.job, self._steps.verify(loaded, connection))
            case act.UploadFiles():
                return await self._upload(loaded, connection)
            case act.CheckFiles():
                return await self._attempt(loaded.job, self._steps.check_file(loaded, connection))
            case act.SubmitJob():
                return await self._submit(loaded, connection)
            case act.ResolveRemoteJob():
                return await self._attempt(loaded.job, self._steps.resolve(loaded, connection))
            case act.PollRemoteJob():
                return await self._attempt(loaded.job, self._steps.poll(loaded, connection))
            case act.CancelRemoteJob():
                return await self._attempt(loaded.job, self._steps.cancel(loaded, connection))
            case _:
                assert_never(action)

    async def _upload(self, loaded: jobs.LoadedJob, connection: ProviderConnection) -> Outcome:
        try:
            files = await self._dataset_files.get_verified_files(loaded, connection.provider.capabilities)
        except DatasetChanged as error:
            failure, until = (
                Failure.from_error(error),
                self._clock.now() + backoff(loaded.job.attempts, self._jitter()),
            )
            return retry_later(loaded.job, failure, until=until, counts_as_attempt=True, maybe_sent=True)
        seconds = self._timing.intent_seconds + upload_timeout_seconds(files, connection.provider.capabilities)
        job, deadline = await self._write_intent(loaded.job, JobEvent.UPLOAD_STARTED, seconds)
        upload = self._steps.upload(replace(loaded, job=job), connection, files, deadline)
        return await self._attempt(job, upload, deadline)

    async def _submit(self, loaded: jobs.LoadedJob, connection: ProviderConnection) -> Outcome:
        # Not longer from the start: after a crash, nobody works on the job before its intent has ended.
        failure, seconds = loaded.job.failure, self._timing.intent_seconds
        if failure and failure.kind == SearchTooSlow.kind:
            seconds += MAX_LIST_SECONDS
        try:
            job, deadline = await self._write_intent(loaded.job, JobEvent.SUBMIT_STARTED, seconds, connection.account)
        except JobLimitReached:  # not an error: a slot that becomes free wakes the job
            return sleep_until(loaded.job, self._next_check(loaded, self._clock.now()))
        except BudgetExceeded as error:
            return hold_job(loaded.job, Hold(HoldKind.OVER_BUDGET, error.message, error.hint, error.until))
        if job.provider in loaded.run.pins:  # the values to pin may have been recorded since this job was loaded
            loaded = await self._load(job.id) or loaded
        return await self._attempt(job, self._steps.submit(replace(loaded, job=job), connection, deadline), deadline)

    async def _write_intent(
        self, job: Job, event: JobEvent, seconds: float, limits_of: Account | None = None
    ) -> tuple[Job, Deadline]:
        """Commit the intent to send a request within `seconds`, and return the deadline of that request.

        Another attempt in the same state renews the intent. Raises JobLimitReached or BudgetExceeded when the limits
        of the account `limits_of` do not allow the job.
        """
        # Boot clock first: should the process freeze between the two lines, the deadline ends before the intent.
        deadline = Deadline(self._clock.boottime() + seconds, self._clock.boottime)
        now = self._clock.now()
        self._check_clock()  # after `now` was read: an intent by a clock that was just set could end too early
        until = now + seconds
        if job.state in {JobState.UPLOADING, JobState.SUBMITTING}:
            outcome, limits_of = renew_intent(job, until=until), None  # it holds its slot already
        else:
            submitted: dict[str, Any] = {"submitted_at": now} if event is JobEvent.SUBMIT_STARTED else {}
            outcome = advance(job, event, now=now, intent_until=until, wake_at=until, **submitted)
        job = await self._recorder.record(
            outcome, limits_of=limits_of, stops_if_held=event is JobEvent.SUBMIT_STARTED
        )
        self._failpoint(f"{job.state}: after intent")
        return job, deadline

    async def _attempt(self, job: Job, work: Awaitable[Outcome], deadline: Deadline | None = None) -> Outcome:
        """Return the outcome of `work`, also where it fails.

        A request that may have been sent keeps its intent until `deadline`, so that nothing is created meanwhile.
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
        # Computed again from the boot clock: the wall clock may have been set since the intent was written.
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
            case FailJob() if job.state in AT_PROVIDER_STATES:  # only the poll has failed: the job may still run
                return hold_job(
                    job, Hold(failure.kind, failure.message, UNKNOWN_STATE_HINT), request_id=error.request_id
                )
            case FailJob():
                return fail_job(job, error, now=now)

    def _hold_account(self, job: Job, failure: Failure) -> Outcome:
        hold = Hold(failure.kind, failure.message, failure.hint)
        return replace(
            sleep_until(replace(job, intent_until=None), None, failure=failure),
            account_update=AccountHeld(hold),
        )

    async def _log_account_hold(self, job_id: JobId) -> None:
        """Log the hold that was recorded for the job's account. An operator may have held the account meanwhile."""
        loaded = await self._load(job_id)
        if loaded and (hold := loaded.account_state.hold) and not loaded.account_state.is_held_by_operator:
            self._log.warning(
                "account.held", account=loaded.job.account, kind=hold.kind, message=hold.reason, hint=hold.hint
            )

    def _next_check(self, loaded: jobs.LoadedJob, now: float) -> float | None:
        """Return when an idle job is due again: at the end of a hold, or to check for a free slot; None: never."""
        times = [hold.until for hold in (loaded.job.hold, loaded.account_state.hold) if hold and hold.until]
        if loaded.job.state is JobState.READY and loaded.run.current and loaded.run.started_at:
            times.append(now + SLOT_RECHECK_SECONDS)
        return min(times, default=None)
