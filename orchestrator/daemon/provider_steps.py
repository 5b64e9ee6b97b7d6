"""Steps: what each action does at the provider, and what the answer means. Nothing is recorded here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from structlog.stdlib import BoundLogger

from orchestrator.core.account import AccountIdentity
from orchestrator.core.clock import Clock
from orchestrator.core.errors import Failure, ProviderError, RemoteNotFound, RequestRejected, TemporaryError
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
from orchestrator.core.jobs.run import AccountState
from orchestrator.core.jobs.stall import DEFAULT_STALL_SECONDS
from orchestrator.core.jobs.transitions import Outcome, advance, fail_job, poll_again, retry_later
from orchestrator.core.plans.retirement import format_same_model_hint, list_unknown_model_holds
from orchestrator.core.remote import RemoteFile, RemoteFileStatus, RemoteJobStatus, RemoteModel
from orchestrator.daemon.duration_estimator import DurationEstimator
from orchestrator.planning.base_models import TimeLimit, find_base_model
from orchestrator.providers.base import (
    TERMINAL_JOB_STATUSES,
    DatasetFile,
    Deadline,
    JobOrder,
    Provider,
    ProviderConnection,
)
from orchestrator.store.queries import jobs

MAX_CONSECUTIVE_404 = 3  # looks in a row that may miss a job: lists and reads may lag behind a create
MAX_EARLY_CREATES = 16  # refused creates on a file that is not said to be ready: about 45 minutes
POLLS_PER_LOSSES_READ = (
    3  # the losses are read this many times less often than a job that changes slowly: every 3 minutes
)
LOSSES_TIMEOUT_SECONDS = 30.0  # a finished model is not recorded before its losses are read, or this time is over
CANCELLING_OR_ENDED = frozenset({RemoteJobStatus.CANCELLING, *TERMINAL_JOB_STATUSES})

Identify = Callable[[ProviderConnection], Awaitable[tuple[ProviderConnection, AccountIdentity]]]
"""Asks whose key it is; a refused key may have been changed, and is read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTiming:
    """How fast to look, how long an intent lasts, and when a job counts as stalled, in seconds."""

    poll_min_seconds: float
    poll_max_seconds: float
    intent_seconds: float
    stalled_after_seconds: float = DEFAULT_STALL_SECONDS


class ProviderSteps:
    """The steps that speak to a provider. Each raises what the provider raises."""

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
        account = connection.account
        connection, identity = await self._identify(connection)
        now = self._clock.now()
        organization = identity.organization or account.organization
        project = identity.project or account.project
        self._log.info(
            "account.verified", account=account.name, organization=organization, key=connection.key_fingerprint
        )
        return replace(
            poll_again(loaded.job, now),
            account_update=lambda standing: replace(
                standing, organization=organization, project=project, verified_at=now
            ),
        )

    async def upload(self, job: Job, provider: Provider, files: list[DatasetFile], deadline: Deadline) -> Outcome:
        there: list[RemoteFile] = []
        differences: list[str] = []
        for wanted in files:
            file = await provider.find_file(wanted)
            if file is None:  # what is found has the size that is looked for
                file = await provider.upload_file(wanted, deadline)
                difference = find_size_difference(file, (wanted.wire_bytes, wanted.bytes))
                differences += [difference] if difference else []
            there.append(file)
        return observe_upload(job, there, differences, now=self._clock.now(), delay=self._timing.poll_min_seconds)

    async def check_file(self, job: Job, provider: Provider) -> Outcome:
        files = [await provider.get_file(file_id) for file_id in _file_ids(job)]
        return observe_files(job, files, now=self._clock.now(), delay=self._poll_delay(job))

    async def submit(self, job: Job, provider: Provider, loaded: jobs.LoadedJob, deadline: Deadline) -> Outcome:
        order = _build_job_order(job, loaded)
        remote = select_remote_job(job, await provider.find_jobs(order))
        try:
            remote = remote or check_created(job, await provider.create_job(order, deadline))
        except RequestRejected as error:  # looked for and not there, then refused: there is none
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
        """A file of the job that the provider says is still not ready, which may be why it refuses a create.

        A provider that tells no status at all gives no reason to try again.
        """
        try:
            files = [await provider.get_file(file_id) for file_id in _file_ids(job)]
        except ProviderError:  # the refusal counts, whatever can be seen of the files
            return None
        unready = {RemoteFileStatus.UPLOADED, RemoteFileStatus.PROCESSING}
        return next((file for file in files if file.status in unready and file.raw_status), None)

    async def _add_base_model_hint(self, error: RequestRejected, job: Job, provider: Provider) -> None:
        """Name the base model in the hint where the provider does not have it: a retry would ask for it again."""
        try:
            answer = await find_base_model(provider, job.base_model, self._time_limit)
        except (ProviderError, TimeoutError):
            return
        if answer is not None and not isinstance(answer, RemoteModel):
            hold = list_unknown_model_holds({job.provider: (job.base_model, answer)})[job.provider]
            error.hint = format_same_model_hint(job.provider, hold.reason)

    async def resolve(self, job: Job, provider: Provider, loaded: jobs.LoadedJob) -> Outcome:
        if job.remote_job_id:
            return await self._adopt(job, provider, loaded)
        remote = select_remote_job(job, await provider.find_jobs(_build_job_order(job, loaded)))
        if remote is None:
            return advance(job, JobEvent.CANCELLED, now=self._clock.now())
        return link_remote_job(job, remote, now=self._clock.now(), delay=0)

    async def poll(self, job: Job, provider: Provider, loaded: jobs.LoadedJob) -> Outcome:
        try:
            remote = await provider.get_job(job.remote_job_id or "")
        except RemoteNotFound as error:
            return self._handle_missing(job, error)
        now = self._clock.now()
        span = await self._duration_estimator.estimate(job, now)
        outcome = observe_job(job, remote, now=now, delay=self._next_poll_delay(job, loaded.account_state, span, now))
        return await self._add_losses(with_pinned_values(outcome, loaded.run), provider)

    async def _add_losses(self, outcome: Outcome, provider: Provider) -> Outcome:
        """Now and then, and at the end, the job's losses as well. They are worth having and not worth failing for."""
        job, now = outcome.job, self._clock.now()
        if not provider.capabilities.losses or not losses_due(
            job, now, every=POLLS_PER_LOSSES_READ * self._timing.poll_max_seconds
        ):
            return outcome
        told = await self._fetch_losses(job, provider)
        step = max((loss.step for loss in told), default=job.loss_step)
        return replace(outcome, losses=tuple(told), job=replace(job, losses_at=now, loss_step=step))

    async def _fetch_losses(self, job: Job, provider: Provider) -> list[Loss]:
        """The losses that can be recorded; none where anything at all goes wrong, or it takes too long."""
        try:
            async with self._time_limit(LOSSES_TIMEOUT_SECONDS):
                told = await provider.losses(job.remote_job_id or "", job.loss_step or 0)
            checked = [parse_loss(loss.step, loss.training, loss.validation) for loss in told]
            return [loss for loss in checked if loss]
        except (ProviderError, TimeoutError) as error:
            text = str(error) or f"the provider took longer than {LOSSES_TIMEOUT_SECONDS:g} seconds"
            self._log.info("losses.fetch_failed", account=job.account, job=job.id, message=text)
        except Exception as error:  # noqa: BLE001 - a curve is no reason to keep a finished model from being recorded
            self._log.exception("losses.internal_error", account=job.account, job=job.id, message=str(error))
        return []

    async def cancel(self, job: Job, provider: Provider) -> Outcome:
        if job.state is not JobState.CANCELLING:
            return advance(job, JobEvent.CANCEL_REQUESTED, now=self._clock.now())
        try:
            remote = await provider.get_job(job.remote_job_id or "")
            if remote.status not in CANCELLING_OR_ENDED:
                remote = await provider.cancel_job(remote.id)
        except RemoteNotFound as error:
            return self._handle_missing(job, error)
        return observe_job(job, remote, now=self._clock.now(), delay=self._poll_delay(job))

    async def _adopt(self, job: Job, provider: Provider, loaded: jobs.LoadedJob) -> Outcome:
        try:
            remote = await provider.get_job(job.remote_job_id or "")
        except RequestRejected as error:
            return reject_adoption(
                job, f"account {job.account} has no remote job {job.remote_job_id}: {error.message}"
            )
        ours = remote.training_file == job.remote_file_id
        tagged = [] if ours else [found.id for found in await provider.find_jobs(_build_job_order(job, loaded))]
        return confirm_adoption(job, remote, tagged, now=self._clock.now())

    def _handle_missing(self, job: Job, error: RemoteNotFound) -> Outcome:
        """Reads may lag behind a create: only a job that is missed several times in a row has vanished."""
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
        if job.woken_by_webhook:  # what the provider shows may lag behind what it tells
            return self._timing.poll_min_seconds
        waited = self._clock.now() - job.state_since
        return proportional_poll_delay(
            waited, self._timing.poll_min_seconds, self._timing.poll_max_seconds, self._jitter()
        )

    def _next_poll_delay(self, job: Job, standing: AccountState, span: EndWindow | None, now: float) -> float:
        """Seconds until a job that goes on is looked at again."""
        if job.woken_by_webhook:
            return self._poll_delay(job)
        longest = max_poll_seconds(self._timing.poll_max_seconds, standing.webhook_seen_at, now)
        if longest > self._timing.poll_max_seconds:  # its end will be told
            return proportional_poll_delay(
                now - job.state_since, self._timing.poll_min_seconds, longest, self._jitter()
            )
        passed = now - (job.submitted_at or job.state_since)
        return next_poll_delay(
            passed, span, min_delay=self._timing.poll_min_seconds, max_delay=longest, jitter=self._jitter()
        )


def _file_ids(job: Job) -> list[str]:
    return [file_id for file_id in (job.remote_file_id, job.remote_validation_file_id) if file_id]


def _build_job_order(job: Job, loaded: jobs.LoadedJob) -> JobOrder:
    return JobOrder(
        tag=job.tag,
        spec=apply_pins(loaded.run.specs[job.provider], loaded.run.pins.get(job.provider)),
        training_file=job.remote_file_id or "",
        validation_file=job.remote_validation_file_id,
    )
