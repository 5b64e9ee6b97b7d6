"""Steps: what each action does at the provider, and what the answer means. Nothing is recorded here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from structlog.stdlib import BoundLogger

from orchestrator.core.account import Identity
from orchestrator.core.advance import Outcome, advance, give_up, stumble, wait
from orchestrator.core.clock import Clock
from orchestrator.core.errors import Failure, ProviderError, RemoteMissing, RequestRejected, TemporaryError
from orchestrator.core.job import Job
from orchestrator.core.lifecycle import Event, State
from orchestrator.core.loss import Loss, loss_at
from orchestrator.core.observe import (
    adopted,
    check_created,
    choose,
    created,
    losses_due,
    not_adopted,
    observe_files,
    observe_job,
    observe_upload,
    size_difference,
    vanished,
    with_pin,
)
from orchestrator.core.pin import pinned
from orchestrator.core.polling import Span, next_look
from orchestrator.core.remote import FileStatus, JobStatus, RemoteFile, RemoteModel
from orchestrator.core.retirement import same_model_hint, unknown_holds
from orchestrator.core.retry import backoff, poll_delay
from orchestrator.core.run import Standing
from orchestrator.core.stall import STALLED_SECONDS
from orchestrator.core.webhook import longest_wait
from orchestrator.daemon.lasting import Lasting
from orchestrator.daemon.models import Limit, find_base_model
from orchestrator.providers.base import Connection, Deadline, FileToSend, JobOrder, Provider
from orchestrator.providers.cancelling import ENDED
from orchestrator.store import jobs

PATIENCE_404 = 3  # looks in a row that may miss a job: lists and reads may lag behind a create
MAX_EARLY_CREATES = 16  # refused creates on a file that is not said to be ready: about 45 minutes
LOSSES_POLLS = 3  # the losses are read this many times less often than a job that changes slowly: every 3 minutes
LOSSES_SECONDS = 30.0  # a finished model is not recorded before its losses are read, or this time is over
STOPPING = frozenset({JobStatus.CANCELLING, *ENDED})

Identify = Callable[[Connection], Awaitable[tuple[Connection, Identity]]]
"""Asks whose key it is; a refused key may have been changed, and is read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast to look, how long an intent lasts, and when a job counts as stalled, in seconds."""

    poll_min: float
    poll_max: float
    intent: float
    stalled: float = STALLED_SECONDS


class Steps:
    """The steps that speak to a provider. Each raises what the provider raises."""

    def __init__(
        self,
        *,
        identify: Identify,
        clock: Clock,
        jitter: Callable[[], float],
        pace: Pace,
        lasting: Lasting,
        log: BoundLogger,
        limit: Limit = asyncio.timeout,
    ) -> None:
        self._identify = identify
        self._limit = limit
        self._clock = clock
        self._jitter = jitter
        self._pace = pace
        self._lasting = lasting
        self._log = log

    async def verify(self, loaded: jobs.Loaded, connected: Connection) -> Outcome:
        account = connected.account
        connected, identity = await self._identify(connected)
        now = self._clock.now()
        organization = identity.organization or account.organization
        project = identity.project or account.project
        self._log.info(
            "account.verified", account=account.name, organization=organization, key=connected.key_fingerprint
        )
        return replace(
            wait(loaded.job, now),
            standing=lambda standing: replace(standing, organization=organization, project=project, verified_at=now),
        )

    async def upload(self, job: Job, provider: Provider, files: list[FileToSend], deadline: Deadline) -> Outcome:
        there: list[RemoteFile] = []
        differences: list[str] = []
        for wanted in files:
            file = await provider.find_file(wanted)
            if file is None:  # what is found has the size that is looked for
                file = await provider.upload_file(wanted, deadline)
                difference = size_difference(file, (wanted.wire_bytes, wanted.bytes))
                differences += [difference] if difference else []
            there.append(file)
        return observe_upload(job, there, differences, now=self._clock.now(), delay=self._pace.poll_min)

    async def check_file(self, job: Job, provider: Provider) -> Outcome:
        files = [await provider.get_file(file_id) for file_id in _file_ids(job)]
        return observe_files(job, files, now=self._clock.now(), delay=self._delay(job))

    async def submit(self, job: Job, provider: Provider, loaded: jobs.Loaded, deadline: Deadline) -> Outcome:
        order = _order(job, loaded)
        remote = choose(job, await provider.find_jobs(order))
        try:
            remote = remote or check_created(job, await provider.create_job(order, deadline))
        except RequestRejected as error:  # looked for and not there, then refused: there is none
            if job.attempts < MAX_EARLY_CREATES and (file := await self._unready_file(job, provider)):
                raise TemporaryError(
                    f"{error.message} (file {file.id} is still {file.raw!r})",
                    account=error.account,
                    request_id=error.request_id,
                    code=error.code,
                ) from error
            await self._explain(error, job, provider)
            return give_up(job, error, now=self._clock.now())
        return created(job, remote, now=self._clock.now(), delay=self._pace.poll_min)

    async def _unready_file(self, job: Job, provider: Provider) -> RemoteFile | None:
        """A file of the job that the provider says is still not ready, which may be why it refuses a create.

        A provider that tells no status at all gives no reason to try again.
        """
        try:
            files = [await provider.get_file(file_id) for file_id in _file_ids(job)]
        except ProviderError:  # the refusal counts, whatever can be seen of the files
            return None
        unready = {FileStatus.UPLOADED, FileStatus.PROCESSING}
        return next((file for file in files if file.status in unready and file.raw), None)

    async def _explain(self, error: RequestRejected, job: Job, provider: Provider) -> None:
        """Name the base model in the hint where the provider does not have it: a retry would ask for it again."""
        try:
            answer = await find_base_model(provider, job.base_model, self._limit)
        except (ProviderError, TimeoutError):
            return
        if answer is not None and not isinstance(answer, RemoteModel):
            hold = unknown_holds({job.provider: (job.base_model, answer)})[job.provider]
            error.hint = same_model_hint(job.provider, hold.reason)

    async def settle(self, job: Job, provider: Provider, loaded: jobs.Loaded) -> Outcome:
        if job.remote_job_id:
            return await self._adopt(job, provider, loaded)
        remote = choose(job, await provider.find_jobs(_order(job, loaded)))
        if remote is None:
            return advance(job, Event.CANCELLED, now=self._clock.now())
        return created(job, remote, now=self._clock.now(), delay=0)

    async def follow(self, job: Job, provider: Provider, loaded: jobs.Loaded) -> Outcome:
        try:
            remote = await provider.get_job(job.remote_job_id or "")
        except RemoteMissing as error:
            return self._missed(job, error)
        now = self._clock.now()
        span = await self._lasting.span(job, now)
        outcome = observe_job(job, remote, now=now, delay=self._next_look(job, loaded.standing, span, now))
        return await self._with_losses(with_pin(outcome, loaded.run), provider)

    async def _with_losses(self, outcome: Outcome, provider: Provider) -> Outcome:
        """Now and then, and at the end, the job's losses as well. They are worth having and not worth failing for."""
        job, now = outcome.job, self._clock.now()
        if not provider.capabilities.losses or not losses_due(job, now, every=LOSSES_POLLS * self._pace.poll_max):
            return outcome
        told = await self._losses_of(job, provider)
        step = max((loss.step for loss in told), default=job.loss_step)
        return replace(outcome, losses=tuple(told), job=replace(job, losses_at=now, loss_step=step))

    async def _losses_of(self, job: Job, provider: Provider) -> list[Loss]:
        """The losses that can be recorded; none where anything at all goes wrong, or it takes too long."""
        try:
            async with self._limit(LOSSES_SECONDS):
                told = await provider.losses(job.remote_job_id or "", job.loss_step or 0)
            checked = [loss_at(loss.step, loss.training, loss.validation) for loss in told]
            return [loss for loss in checked if loss]
        except (ProviderError, TimeoutError) as error:
            text = str(error) or f"the provider took longer than {LOSSES_SECONDS:g} seconds"
            self._log.info("losses.not_told", account=job.account, job=job.id, message=text)
        except Exception as error:  # noqa: BLE001 - a curve is no reason to keep a finished model from being recorded
            self._log.exception("losses.broken", account=job.account, job=job.id, message=str(error))
        return []

    async def stop(self, job: Job, provider: Provider) -> Outcome:
        if job.state is not State.CANCELLING:
            return advance(job, Event.CANCEL_ASKED, now=self._clock.now())
        try:
            remote = await provider.get_job(job.remote_job_id or "")
            if remote.status not in STOPPING:
                remote = await provider.cancel_job(remote.id)
        except RemoteMissing as error:
            return self._missed(job, error)
        return observe_job(job, remote, now=self._clock.now(), delay=self._delay(job))

    async def _adopt(self, job: Job, provider: Provider, loaded: jobs.Loaded) -> Outcome:
        try:
            remote = await provider.get_job(job.remote_job_id or "")
        except RequestRejected as error:
            return not_adopted(job, f"account {job.account} has no remote job {job.remote_job_id}: {error.message}")
        ours = remote.training_file == job.remote_file_id
        tagged = [] if ours else [found.id for found in await provider.find_jobs(_order(job, loaded))]
        return adopted(job, remote, tagged, now=self._clock.now())

    def _missed(self, job: Job, error: RemoteMissing) -> Outcome:
        """Reads may lag behind a create: only a job that is missed several times in a row has vanished."""
        misses = job.attempts if job.failure and job.failure.kind == error.kind else 0
        now = self._clock.now()
        if misses >= PATIENCE_404:
            return vanished(job, now=now)
        failure = replace(Failure.of(error), hint="Nothing to do: it is looked for again.")
        until = now + backoff(misses, self._jitter())
        return stumble(replace(job, attempts=misses), failure, until=until, counts=True, sent=False)

    def _delay(self, job: Job) -> float:
        if job.told:  # what the provider shows may lag behind what it tells
            return self._pace.poll_min
        waited = self._clock.now() - job.state_since
        return poll_delay(waited, self._pace.poll_min, self._pace.poll_max, self._jitter())

    def _next_look(self, job: Job, standing: Standing, span: Span | None, now: float) -> float:
        """Seconds until a job that goes on is looked at again."""
        if job.told:
            return self._delay(job)
        longest = longest_wait(self._pace.poll_max, standing.webhook_seen_at, now)
        if longest > self._pace.poll_max:  # its end will be told
            return poll_delay(now - job.state_since, self._pace.poll_min, longest, self._jitter())
        passed = now - (job.submitted_at or job.state_since)
        return next_look(passed, span, shortest=self._pace.poll_min, longest=longest, jitter=self._jitter())


def _file_ids(job: Job) -> list[str]:
    return [file_id for file_id in (job.remote_file_id, job.remote_validation_file_id) if file_id]


def _order(job: Job, loaded: jobs.Loaded) -> JobOrder:
    return JobOrder(
        tag=job.tag,
        spec=pinned(loaded.run.specs[job.provider], loaded.run.pins.get(job.provider)),
        training_file=job.remote_file_id or "",
        validation_file=job.remote_validation_file_id,
    )
