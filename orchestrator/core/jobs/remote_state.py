"""Observe: what a provider's answer means for our job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, assert_never

from orchestrator.core.errors import AmbiguousRemoteJob, Failure, UploadSizeMismatch
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.pins import find_resolved_values
from orchestrator.core.jobs.run import Run
from orchestrator.core.jobs.transitions import Outcome, advance, hold_job, poll_again
from orchestrator.core.remote import RemoteFile, RemoteFileStatus, RemoteJob, RemoteJobStatus, is_same_model
from orchestrator.core.text import format_duration

REMOTE_MISSING_KIND = "remote_missing"
MODEL_ID_TIMEOUT_SECONDS = 900.0  # seconds a succeeded job may lack its model id
FILE_STATUS_TIMEOUT_SECONDS = 600.0  # seconds a provider may say of a file only that it is uploaded
SLOW_FILE_SECONDS = 1800.0  # seconds a provider may check a file before that is reported
STATUS_UNKNOWN_KIND = "status_unknown"

FILE_REJECTED_HINT = "Run `orchestrator check`, correct the chats, and start again: the changed dataset is a new run."
JOB_FAILED_HINT = (
    "Read the provider's message; correct the chats or hyperparameters, or `orchestrator retry` the account."
)
NO_MODEL_HINT = "Look the job up in the provider's console; `orchestrator retry` trains it again, and pays again."


def observe_files(job: Job, files: list[RemoteFile], *, now: float, delay: float) -> Outcome:
    """All files ready: ready. One refused or gone: failed. Otherwise look again after `delay` seconds.

    A file of which the provider does not say whether a job can use it is taken as ready after
    `FILE_STATUS_TIMEOUT_SECONDS`: some servers never say more, and a create that is refused creates nothing.
    """
    for file in files:
        if file.status in {RemoteFileStatus.REFUSED, RemoteFileStatus.GONE}:
            message = f"the provider says file {file.id} is {file.raw_status}: {file.message or 'no reason given'}"
            return advance(
                job, JobEvent.FILE_REFUSED, now=now, failure=Failure("file_refused", message, FILE_REJECTED_HINT)
            )
    if all(file.status is RemoteFileStatus.READY for file in files):
        return advance(job, JobEvent.FILE_READY, now=now)
    waited = now - job.state_since
    if checking := [file for file in files if file.status is RemoteFileStatus.PROCESSING]:
        concern = _slow_file_warning(checking[0], waited) if waited >= SLOW_FILE_SECONDS else None
        return replace(poll_again(job, now + delay), warning_candidate=concern)
    if waited < FILE_STATUS_TIMEOUT_SECONDS:
        return poll_again(job, now + delay)
    return _assume_ready(job, next(file for file in files if file.status is RemoteFileStatus.UPLOADED), now=now)


def _slow_file_warning(file: RemoteFile, waited: float) -> Failure:
    return Failure(
        "file_slow",
        f"the provider says for {format_duration(waited)} that file {file.id} is {file.raw_status!r}",
        "Look at the file in the provider's console. The job goes on once the provider says that the file is ready.",
    )


def _assume_ready(job: Job, file: RemoteFile, *, now: float) -> Outcome:
    said = f"says only {file.raw_status!r} of" if file.raw_status else "tells no status of"
    why = (
        f"for {format_duration(FILE_STATUS_TIMEOUT_SECONDS)} the provider {said} file {file.id}: "
        f"the job is created as if it was ready"
    )
    outcome = advance(job, JobEvent.FILE_ASSUMED_READY, now=now)
    return replace(outcome, failure=Failure("file_assumed", why, "Nothing to do: a refused create creates nothing."))


def observe_upload(
    job: Job, files: Sequence[RemoteFile], differences: Sequence[str], *, now: float, delay: float
) -> Outcome:
    """The provider has the files. Where it says that one has another size than was sent, a person decides."""
    doubt = UploadSizeMismatch("; ".join(differences)) if differences else None
    reason = Hold(doubt.kind, doubt.message, doubt.hint) if doubt else None
    ready = files[-1].status is RemoteFileStatus.READY
    outcome = advance(
        job,
        JobEvent.FILE_UPLOADED,
        now=now,
        intent_until=None,
        remote_file_id=files[0].id,
        remote_validation_file_id=files[1].id if len(files) > 1 else None,
        hold=reason,
        wake_at=None if reason else now if ready else now + delay,
    )
    failure = reason.failure if reason else None
    return replace(outcome, failure=failure, warning_candidate=failure)


def find_size_difference(file: RemoteFile, sent: Sequence[int]) -> str | None:
    """Where the provider says another size than any of those `sent`, with and without a byte-order mark.

    Some servers say 0 until they have processed the file: that is "not counted yet", as None is. If it counted as a
    difference, every account at such a server would be held.
    """
    is_counted = file.bytes is not None and (file.bytes > 0 or file.status is RemoteFileStatus.READY)
    if not is_counted or file.bytes in sent:
        return None
    return f"the provider says that file {file.id} has {file.bytes:,} bytes; {sent[0]:,} were sent"


def observe_job(job: Job, remote: RemoteJob, *, now: float, delay: float) -> Outcome:
    """Follow a remote job: an end, a beginning, or another look after `delay` seconds."""
    seen = _remote_fields(remote)
    match remote.status:
        case RemoteJobStatus.SUCCEEDED if remote.fine_tuned_model:
            return advance(job, JobEvent.REMOTE_SUCCEEDED, now=now, **seen, fine_tuned_model=remote.fine_tuned_model)
        case RemoteJobStatus.SUCCEEDED:
            return _await_model_id(job, remote, now=now, delay=delay)
        case RemoteJobStatus.FAILED:
            failure = Failure("job_failed", _failure_reason(remote), JOB_FAILED_HINT, remote.request_id)
            return advance(job, JobEvent.REMOTE_FAILED, now=now, **seen, failure=failure)
        case RemoteJobStatus.CANCELLED:
            return advance(job, JobEvent.REMOTE_CANCELLED, now=now, **seen)
        case RemoteJobStatus.STOPPED if job.cancel_asked:
            return advance(job, JobEvent.REMOTE_CANCELLED, now=now, **seen)
        case RemoteJobStatus.STOPPED:  # nobody here asked for it: a failure, because only a failed job can be retried
            why = (
                remote.error_message or f"the provider stopped it ({remote.raw_status}), and nobody here cancelled it"
            )
            failure = Failure("job_failed", why, JOB_FAILED_HINT, remote.request_id)
            return advance(job, JobEvent.REMOTE_FAILED, now=now, **seen, failure=failure)
        case RemoteJobStatus.RUNNING if job.state is JobState.QUEUED:
            return advance(job, JobEvent.REMOTE_STARTED, now=now, **seen, wake_at=now + delay)
        case RemoteJobStatus.PENDING | RemoteJobStatus.RUNNING | RemoteJobStatus.PAUSED | RemoteJobStatus.CANCELLING:
            return poll_again(job, now + delay, **seen)
        case RemoteJobStatus.UNKNOWN:
            return replace(poll_again(job, now + delay, **seen), warning_candidate=_unknown_status_warning(remote))
        case _:
            assert_never(remote.status)


def link_remote_job(job: Job, remote: RemoteJob, *, now: float, delay: float) -> Outcome:
    """The remote job exists: ours from now on, and looked at after `delay` seconds."""
    return advance(
        job,
        JobEvent.REMOTE_CREATED,
        now=now,
        request_id=remote.request_id,
        remote_job_id=remote.id,
        intent_until=None,
        wake_at=now + delay,
        **_remote_fields(remote),
    )


def with_pinned_values(outcome: Outcome, run: Run) -> Outcome:
    """Tell what the provider chose for this job, where the run's others wait for it."""
    job = outcome.job
    if run.pins.get(job.provider, {}) is not None or job.state not in {JobState.RUNNING, JobState.SUCCEEDED}:
        return outcome
    done = job.state is JobState.SUCCEEDED
    return replace(
        outcome,
        pinned_values=find_resolved_values(run.specs[job.provider], job.provider, job.hyperparameters, finished=done),
    )


def losses_due(job: Job, now: float, *, every: float) -> bool:
    """Whether the job's losses are worth a read: every so many seconds of training, and once when it has ended."""
    if job.state in {JobState.SUCCEEDED, JobState.FAILED}:
        return True
    return job.state is JobState.RUNNING and now - (job.losses_at or job.state_since) >= every


def fail_missing_job(job: Job, *, now: float) -> Outcome:
    """The provider no longer knows a job it had. That is a failure, never a reason to create another."""
    message = f"the provider no longer has job {job.remote_job_id}; it was last seen {job.remote_status}"
    return advance(job, JobEvent.FAILED, now=now, failure=Failure(REMOTE_MISSING_KIND, message, NO_MODEL_HINT))


def is_remote_job_finished(job: Job) -> bool:
    """Whether a failed job's remote job is known to have ended, so that trying again means another one."""
    return job.remote_job_id is not None and (job.failure is None or job.failure.kind != REMOTE_MISSING_KIND)


def sum_created_usd(job: Job) -> float | None:
    """Return the estimated price of all remote jobs that are known to have been created; None when there is none.

    A create whose outcome is unknown is not among them: the next round has the same tag, finds it and counts it.
    """
    latest = job.estimated_usd if job.remote_job_id is not None else None
    prices = [usd for usd in (job.earlier_usd, latest) if usd is not None]
    return sum(prices) if prices else None


def select_remote_job(job: Job, candidates: list[RemoteJob]) -> RemoteJob | None:
    """The remote job that carries our tag: none, or one trained on our file. Anything else needs a person."""
    if len(candidates) > 1:
        seen = ", ".join(f"{candidate.id} ({candidate.raw_status})" for candidate in candidates)
        raise AmbiguousRemoteJob(
            f"{len(candidates)} remote jobs carry the tag {job.tag}: {seen}",
            hint=f"Look at them at the provider and choose: {format_adopt_commands(job.tag, candidates)}. "
            f"The others are "
            "left as they are, and cost money until you cancel them there.",
        )
    for candidate in candidates:
        if candidate.training_file != job.remote_file_id:
            raise AmbiguousRemoteJob(
                f"remote job {candidate.id} ({candidate.raw_status}) carries the tag {job.tag} "
                f"but was trained on file "
                f"{candidate.training_file}, not {job.remote_file_id}",
                hint="Look at it at the provider. If its file was the same chats, uploaded before: "
                f"{format_adopt_commands(job.tag, candidates)}. "
                f"Nothing is created while it is there, and it costs money "
                "until it ends or you cancel it there.",
            )
        return candidate
    return None


def check_created(job: Job, remote: RemoteJob) -> RemoteJob:
    """The remote job that a create was answered with. Raises Ambiguous for one on another file than was asked for.

    A file that is not shown contradicts nothing.
    """
    if remote.training_file and remote.training_file != job.remote_file_id:
        raise AmbiguousRemoteJob(
            f"the provider was asked to train on file {job.remote_file_id} and answered with remote job {remote.id} "
            f"({remote.raw_status}) on file {remote.training_file}",
            hint=f"Look for both at the provider. If {remote.id} is this job's: "
            f"{format_adopt_commands(job.tag, [remote])}. "
            f"Otherwise `orchestrator release {job.account}`: the provider is searched for the job again.",
            create_sent=True,
        )
    return remote


def format_adopt_commands(tag: str, candidates: Iterable[RemoteJob]) -> str:
    """The commands that choose one of the candidates for the job with this tag."""
    job_id = tag.partition(".")[0]
    return " or ".join(f"`orchestrator adopt {job_id} {candidate.id}`" for candidate in candidates)


def confirm_adoption(job: Job, remote: RemoteJob, tagged: Sequence[str], *, now: float) -> Outcome:
    """The remote job that a person chose: ours if it trains our base model, and on our file or under our tag."""
    if not is_same_model(remote.base_model, job.base_model):
        return reject_adoption(job, f"remote job {remote.id} trains {remote.base_model}, not {job.base_model}")
    if remote.training_file != job.remote_file_id and remote.id not in tagged:
        return reject_adoption(
            job,
            f"remote job {remote.id} was trained on file {remote.training_file}, not {job.remote_file_id}, and does "
            f"not carry the tag {job.tag}",
        )
    return link_remote_job(job, remote, now=now, delay=0)


def reject_adoption(job: Job, why: str) -> Outcome:
    """The remote job that a person chose cannot be ours: it is asked again."""
    hint = (
        f"`orchestrator adopt {job.id} REMOTE_ID` with the right one, or `orchestrator release {job.account}` to "
        "have the provider searched again."
    )
    return hold_job(replace(job, remote_job_id=None), Hold(AmbiguousRemoteJob(why).kind, why, hint))


def _unknown_status_warning(remote: RemoteJob) -> Failure:
    return Failure(
        STATUS_UNKNOWN_KIND,
        f"the provider says that remote job {remote.id} is {remote.raw_status!r}, a status that is not known here",
        "Look the job up in the provider's console, and report the word to the maintainers of orchestrator. The job "
        "is still followed: it ends here once the provider says a word that is known.",
        remote.request_id,
    )


def _await_model_id(job: Job, remote: RemoteJob, *, now: float, delay: float) -> Outcome:
    if job.remote_status != remote.raw_status:  # first seen now: give the provider a moment to name the model
        return _restart_state_clock(poll_again(job, now + delay, **_remote_fields(remote)), now)
    if now - job.state_since < MODEL_ID_TIMEOUT_SECONDS:
        return poll_again(job, now + delay, **_remote_fields(remote))
    message = f"remote job {remote.id} succeeded but the provider names no model"
    failure = Failure("model_id_missing", message, NO_MODEL_HINT, remote.request_id)
    return advance(job, JobEvent.REMOTE_FAILED, now=now, **_remote_fields(remote), failure=failure)


def _restart_state_clock(outcome: Outcome, now: float) -> Outcome:
    """Start the clock of the state anew: something changed, though no transition happened."""
    return replace(outcome, job=replace(outcome.job, state_since=now))


def _remote_fields(remote: RemoteJob) -> dict[str, Any]:
    return {
        "remote_status": remote.raw_status,
        "servable": remote.servable,
        "trained_tokens": remote.trained_tokens,
        "estimated_finish": remote.estimated_finish,
        "progress": remote.progress,
        "quoted_usd": remote.quoted_usd,
        "hyperparameters": dict(remote.hyperparameters),
    }


def _failure_reason(remote: RemoteJob) -> str:
    text = remote.error_message or "the provider gives no reason"
    return f"{remote.error_code}: {text}" if remote.error_code else text
