"""Executes the actions that call a provider, and turns each answer into an outcome. Nothing is recorded here."""

# Theory of operation
#
# There is one method for each `RemoteAction`. It takes the loaded job and the connection of its account, calls the
# provider and returns the `Outcome`. It raises provider errors: `Reconciler._attempt` decides what follows from them.
#
# Look up before create. `upload` and `submit` first search for the work of an earlier attempt, by file name and by
# the job's tag, and adopt what they find. Only then do they create, and only before the deadline that the intent
# guarantees. So a request whose response was lost is never paid for twice.
#
# Providers are not consistent with themselves: a list or a read may lag behind a create by seconds. Therefore:
#   * a 404 for a known job fails the job only after more than MAX_CONSECUTIVE_404 polls in a row: a failed job is not
#     polled again, and its remote job may still run and cost money
#   * a create that is rejected while its file is not ready is retried (`_find_unready_file`); a rejected create
#     certainly created nothing, so without such a file the job has failed
#   * the size of an uploaded file is compared with what was sent, where the provider reports a size
#
# When to poll. A webhook makes a job due at once. Without webhooks the durations of the run's other jobs decide
# (`DurationEstimator`): polls are rare in the middle of training and frequent near the expected end.
#
# Losses and checkpoints are optional. Reading them has a time limit, and every error is only logged: a missing chart
# must not keep a finished model from being recorded.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from structlog.stdlib import BoundLogger

from orchestrator.core.account import AccountIdentity
from orchestrator.core.account_state import AccountState, AccountVerified
from orchestrator.core.capabilities import WireFormat
from orchestrator.core.clock import Clock
from orchestrator.core.errors import (
    Failure,
    ProviderError,
    RemoteNotFound,
    RequestRejected,
    SearchTooSlow,
    TemporaryError,
)
from orchestrator.core.jobs.checkpoint import number_checkpoints
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.loss import Loss, parse_loss
from orchestrator.core.jobs.pins import apply_pins
from orchestrator.core.jobs.poll_interval import EndWindow, next_poll_delay
from orchestrator.core.jobs.provider_webhook import max_poll_seconds
from orchestrator.core.jobs.remote_state import (
    check_created,
    confirm_adoption,
    fail_missing_job,
    find_size_difference,
    link_remote_job,
    losses_due,
    observe_files,
    observe_job,
    observe_upload,
    reject_adoption,
    select_remote_job,
    with_pinned_values,
)
from orchestrator.core.jobs.retry_policy import backoff, proportional_poll_delay
from orchestrator.core.jobs.stall import DEFAULT_STALL_SECONDS
from orchestrator.core.jobs.transitions import Outcome, advance, fail_job, poll_again, retry_later
from orchestrator.core.plans.retirement import format_same_model_hint, list_unknown_model_holds
from orchestrator.core.remote import RemoteFile, RemoteFileStatus, RemoteJobStatus, RemoteModel
from orchestrator.core.structs import Struct, replace
from orchestrator.daemon.duration_estimator import DurationEstimator
from orchestrator.planning.base_models import TimeLimit, find_base_model
from orchestrator.providers.base import (
    TERMINAL_JOB_STATUSES,
    CheckpointProvider,
    DatasetFile,
    Deadline,
    JobOrder,
    Provider,
    ProviderConnection,
)
from orchestrator.store.queries import jobs

MAX_CONSECUTIVE_404 = 12
"""Polls in a row that may miss a job: reads may lag behind a create, and a gateway may answer 404 during an outage.
With the back-off (1 s, doubled up to 5 min) the next one, which fails the job, comes 17 to 30 min after the first."""
MAX_EARLY_CREATES = 16  # rejected creates on a file that the provider reports as not ready: about 45 minutes
POLLS_PER_LOSSES_READ = 3  # losses are read at least once in so many of the longest polling intervals: 3 minutes
CHECKPOINTS_TIMEOUT_SECONDS = 30.0  # a finished model is recorded after this time at the latest
LOSSES_TIMEOUT_SECONDS = 30.0  # a finished model is recorded after its losses are read, or after this time
CANCELLING_OR_ENDED = frozenset({RemoteJobStatus.CANCELLING, *TERMINAL_JOB_STATUSES})

Identify = Callable[[ProviderConnection], Awaitable[tuple[ProviderConnection, AccountIdentity]]]
"""Asks the provider who owns the key. Reads a rejected key again from its reference: it may have been replaced."""


class StepTiming(Struct, frozen=True, kw_only=True):
    """Durations of the reconciler, in seconds."""

    poll_min_seconds: float  # shortest interval between two polls of a remote job
    poll_max_seconds: float  # longest interval, unless the provider sends webhooks
    intent_seconds: float  # how long an intent reserves the right to send a request
    stalled_after_seconds: float = DEFAULT_STALL_SECONDS  # a job that makes no progress for so long gets a warning


class ProviderSteps:
    """The steps that call a provider. Each raises the provider's errors."""

    def __init__(
        self,
        *,
        identify: Identify,
        clock: Clock,
        jitter: Callable[[], float],
        timing: StepTiming,
        duration_estimator: DurationEstimator,
        log: BoundLogger,
        time_limit: TimeLimit = asyncio.timeout,
    ) -> None:
        self._identify = identify
        self._time_limit = time_limit
        self._clock = clock
        self._jitter = jitter
        self._timing = timing
        self._duration_estimator = duration_estimator
        self._log = log

    async def verify(self, loaded: jobs.LoadedJob, connection: ProviderConnection) -> Outcome:
        """Ask the provider who owns the account's key, and mark the account as verified."""
        account = connection.account
        connection, identity = await self._identify(connection)
        now = self._clock.now()
        verified, key = AccountVerified.from_identity(account, identity, now), connection.key_fingerprint
        self._log.info("account.verified", account=account.name, organization=verified.organization, key=key)
        return replace(poll_again(loaded.job, now), account_update=verified)

    async def upload(
        self, loaded: jobs.LoadedJob, connection: ProviderConnection, files: list[DatasetFile], deadline: Deadline
    ) -> Outcome:
        """Find or upload each file before `deadline`."""
        provider = connection.provider
        remote_files: list[RemoteFile] = []
        differences: list[str] = []
        for file in files:
            remote_file = await provider.find_file(file)
            if remote_file is None:  # a file that is found needs no comparison: it was searched for by size
                remote_file = await provider.upload_file(file, deadline)
                difference = find_size_difference(remote_file, (file.wire_bytes, file.bytes))
                differences += [difference] if difference else []
            remote_files.append(remote_file)
        outcome = observe_upload(
            loaded.job, remote_files, differences, now=self._clock.now(), delay=self._timing.poll_min_seconds
        )
        return replace(outcome, detail=_describe_converted_files(files))

    async def check_file(self, loaded: jobs.LoadedJob, connection: ProviderConnection) -> Outcome:
        """Poll the files until the provider has processed them."""
        job = loaded.job
        files = [await connection.provider.get_file(file_id) for file_id in _file_ids(job)]
        return observe_files(job, files, now=self._clock.now(), delay=self._poll_delay(job))

    async def submit(self, loaded: jobs.LoadedJob, connection: ProviderConnection, deadline: Deadline) -> Outcome:
        """Find the remote job of an earlier attempt, or create it before `deadline`."""
        job, provider, order = loaded.job, connection.provider, _build_job_order(loaded)
        remote = select_remote_job(job, await provider.find_jobs(order))
        if remote is None and deadline.seconds_left <= 0:
            raise SearchTooSlow(
                "the search for an earlier remote job took longer than the time within which the job has to be "
                "created, so nothing was sent",
                account=job.account,
            )
        try:
            remote = remote or check_created(job, await provider.create_job(order, deadline))
        except RequestRejected as error:  # not found before, rejected now: no remote job exists
            if job.attempts < MAX_EARLY_CREATES and (file := await self._find_unready_file(job, provider)):
                raise TemporaryError(
                    f"{error.message} (file {file.id} is still {file.raw_status!r})",
                    account=error.account,
                    request_id=error.request_id,
                    code=error.code,
                ) from error
            await self._add_base_model_hint(error, job, provider)
            return fail_job(job, error, now=self._clock.now())
        return link_remote_job(job, remote, now=self._clock.now(), delay=self._timing.poll_min_seconds)

    async def _find_unready_file(self, job: Job, provider: Provider) -> RemoteFile | None:
        """Find a file of the job that is not ready, which may be why the provider rejected the create.

        A file without a status is no reason for another attempt.
        """
        try:
            files = [await provider.get_file(file_id) for file_id in _file_ids(job)]
        except ProviderError:  # the rejection of the create is the error to report, not this one
            return None
        unready = {RemoteFileStatus.UPLOADED, RemoteFileStatus.PROCESSING}
        return next((file for file in files if file.status in unready and file.raw_status), None)

    async def _add_base_model_hint(self, error: RequestRejected, job: Job, provider: Provider) -> None:
        """Replace the error's hint where the provider does not have the base model: a retry would fail again."""
        try:
            answer = await find_base_model(provider, job.base_model, self._time_limit)
        except (ProviderError, TimeoutError):
            return
        if answer is not None and not isinstance(answer, RemoteModel):
            hold = list_unknown_model_holds({job.provider: (job.base_model, answer)})[job.provider]
            error.hint = format_same_model_hint(job.provider, hold.reason)

    async def resolve(self, loaded: jobs.LoadedJob, connection: ProviderConnection) -> Outcome:
        """Find out which remote job belongs to the job, without creating one."""
        job = loaded.job
        if job.remote_job_id:  # selected by an operator
            return await self._adopt(loaded, connection)
        remote = select_remote_job(job, await connection.provider.find_jobs(_build_job_order(loaded)))
        if remote is not None:
            return link_remote_job(job, remote, now=self._clock.now(), delay=0)
        if job.cancel_asked:
            return advance(job, JobEvent.CANCELLED, now=self._clock.now())
        # The next intent is counted, and its limits are checked, as if there had been none.
        changes = {"intent_until": None, "submitted_at": None}
        outcome = advance(job, JobEvent.SUBMIT_WITHDRAWN, now=self._clock.now(), **changes)
        return replace(outcome, detail="no remote job was created; holds, limits and budgets apply again")

    async def poll(self, loaded: jobs.LoadedJob, connection: ProviderConnection) -> Outcome:
        """Read the state of the remote job, and its losses when they are due."""
        job = loaded.job
        try:
            remote = await connection.provider.get_job(job.remote_job_id or "")
        except RemoteNotFound as error:
            return self._handle_missing(job, error)
        now = self._clock.now()
        window = await self._duration_estimator.estimate(job, now)
        delay = self._next_poll_delay(job, loaded.account_state, window, now)
        outcome = observe_job(job, remote, now=now, delay=delay)
        outcome = await self._add_losses(with_pinned_values(outcome, loaded.run), connection.provider)
        return await self._add_checkpoints(outcome, connection.provider)

    async def _add_losses(self, outcome: Outcome, provider: Provider) -> Outcome:
        """Add the job's losses at regular intervals and at its end."""
        job, now = outcome.job, self._clock.now()
        if not provider.capabilities.losses or not losses_due(
            job,
            now,
            least=self._timing.poll_min_seconds,
            most=POLLS_PER_LOSSES_READ * self._timing.poll_max_seconds,
        ):
            return outcome
        losses = await self._fetch_losses(job, provider)
        step = max((loss.step for loss in losses), default=job.loss_step)
        return replace(outcome, losses=tuple(losses), job=replace(job, losses_at=now, loss_step=step))

    async def _add_checkpoints(self, outcome: Outcome, provider: Provider) -> Outcome:
        """Add the checkpoints of a job that has just succeeded; none after any error or after the time limit.

        They are read once: the provider keeps them, and a finished model must not wait for them.
        """
        job = outcome.job
        if not provider.capabilities.checkpoints or job.state is not JobState.SUCCEEDED:
            return outcome
        try:
            async with self._time_limit(CHECKPOINTS_TIMEOUT_SECONDS):
                found = await cast(CheckpointProvider, provider).checkpoints(job.remote_job_id or "")
            return replace(outcome, checkpoints=tuple(number_checkpoints(found)))
        except (ProviderError, TimeoutError) as error:
            text = str(error) or f"the provider took longer than {CHECKPOINTS_TIMEOUT_SECONDS:g} seconds"
            self._log.info("checkpoints.fetch_failed", account=job.account, job=job.id, message=text)
        except Exception as error:  # noqa: BLE001 - a finished model must be recorded even without its checkpoints
            self._log.exception("checkpoints.internal_error", account=job.account, job=job.id, message=str(error))
        return outcome

    async def _fetch_losses(self, job: Job, provider: Provider) -> list[Loss]:
        """Return the valid losses; none after any error or after LOSSES_TIMEOUT_SECONDS."""
        try:
            async with self._time_limit(LOSSES_TIMEOUT_SECONDS):
                losses = await provider.losses(job.remote_job_id or "", job.loss_step or 0)
            parsed = [parse_loss(loss.step, loss.training, loss.validation) for loss in losses]
            return [loss for loss in parsed if loss]
        except (ProviderError, TimeoutError) as error:
            text = str(error) or f"the provider took longer than {LOSSES_TIMEOUT_SECONDS:g} seconds"
            self._log.info("losses.fetch_failed", account=job.account, job=job.id, message=text)
        except Exception as error:  # noqa: BLE001 - a finished model must be recorded even without its chart
            self._log.exception("losses.internal_error", account=job.account, job=job.id, message=str(error))
        return []

    async def cancel(self, loaded: jobs.LoadedJob, connection: ProviderConnection) -> Outcome:
        """Record the cancel request first, then, in the next step, send it to the provider."""
        job, provider = loaded.job, connection.provider
        if job.state is not JobState.CANCELLING:
            return advance(job, JobEvent.CANCEL_REQUESTED, now=self._clock.now())
        try:
            remote = await provider.get_job(job.remote_job_id or "")
            if remote.status not in CANCELLING_OR_ENDED:
                remote = await provider.cancel_job(remote.id)
        except RemoteNotFound as error:
            return self._handle_missing(job, error)
        outcome = observe_job(job, remote, now=self._clock.now(), delay=self._poll_delay(job))
        return await self._add_checkpoints(outcome, provider)

    async def _adopt(self, loaded: jobs.LoadedJob, connection: ProviderConnection) -> Outcome:
        """Verify the remote job that an operator selected: by its file, or by its tag."""
        job, provider = loaded.job, connection.provider
        try:
            remote = await provider.get_job(job.remote_job_id or "")
        except RequestRejected as error:
            return reject_adoption(
                job, f"account {job.account} has no remote job {job.remote_job_id}: {error.message}"
            )
        has_same_file = remote.training_file == job.remote_file_id
        tagged = [] if has_same_file else [each.id for each in await provider.find_jobs(_build_job_order(loaded))]
        return confirm_adoption(job, remote, tagged, now=self._clock.now())

    def _handle_missing(self, job: Job, error: RemoteNotFound) -> Outcome:
        """Retry a poll that found no remote job; fail the job after more than MAX_CONSECUTIVE_404."""
        # `attempts` also counts other failures, so it is a count of misses only while the last failure was one.
        misses = job.attempts if job.failure and job.failure.kind == error.kind else 0
        now = self._clock.now()
        if misses >= MAX_CONSECUTIVE_404:
            return fail_missing_job(job, now=now)
        failure = replace(Failure.from_error(error), hint="No action needed; the job will be looked up again.")
        until = now + backoff(misses, self._jitter())
        return retry_later(
            replace(job, attempts=misses), failure, until=until, counts_as_attempt=True, maybe_sent=False
        )

    def _poll_delay(self, job: Job) -> float:
        if job.woken_by_webhook:  # a read may lag behind the webhook: poll again soon
            return self._timing.poll_min_seconds
        waited = self._clock.now() - job.state_since
        return proportional_poll_delay(
            waited, self._timing.poll_min_seconds, self._timing.poll_max_seconds, self._jitter()
        )

    def _next_poll_delay(self, job: Job, state: AccountState, window: EndWindow | None, now: float) -> float:
        """Return the seconds until a job that has not ended is polled again."""
        if job.woken_by_webhook:
            return self._poll_delay(job)
        longest = max_poll_seconds(self._timing.poll_max_seconds, state.webhook_seen_at, now)
        if longest > self._timing.poll_max_seconds:  # webhooks arrive: the end will be announced
            return proportional_poll_delay(
                now - job.state_since, self._timing.poll_min_seconds, longest, self._jitter()
            )
        passed = now - (job.submitted_at or job.state_since)
        return next_poll_delay(
            passed, window, min_delay=self._timing.poll_min_seconds, max_delay=longest, jitter=self._jitter()
        )


def _describe_converted_files(files: list[DatasetFile]) -> str | None:
    """Describe the bytes that were sent where they are not the canonical ones, whose hash the run has."""
    converted = [file for file in files if file.wire_format is not WireFormat.CHAT_LINES]
    texts = [f"sent as {file.wire_format}: {file.bytes:,} bytes, SHA-256 {file.sha256}" for file in converted]
    return "; ".join(texts) or None


def _file_ids(job: Job) -> list[str]:
    return [file_id for file_id in (job.remote_file_id, job.remote_validation_file_id) if file_id]


def _build_job_order(loaded: jobs.LoadedJob) -> JobOrder:
    job, run = loaded.job, loaded.run
    return JobOrder(
        tag=job.tag,
        spec=apply_pins(run.specs[job.provider], run.pins.get(job.provider)),
        training_file=job.remote_file_id or "",
        validation_file=job.remote_validation_file_id,
    )
