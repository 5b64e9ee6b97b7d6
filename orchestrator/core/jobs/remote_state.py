"""Translates what a provider reports about files and jobs into the next version of our job.

The functions are pure: a step of the daemon calls the provider, passes the result in, and records the outcome.
"""

# Theory of operation
#
# A provider's status is information about the past in the provider's own words. The dialects (orchestrator/providers)
# map the words to RemoteFileStatus and RemoteJobStatus and keep the word itself in `raw_status`; the functions here
# decide what that means for a job. Four rules apply to all of them:
#
# * Nothing that a provider reports may lead to a second remote job. A remote job that is missing, stopped or unknown
#   becomes a failed job or stays as it is. Only an operator's retry, which gets a new tag, creates another one.
# * An unknown status is not an end. The job keeps its state, is polled again, and carries a warning.
# * A status that a provider never leaves must not keep a job for ever. Two have a time limit: a file that is only
#   ever reported as uploaded counts as ready (the create will tell), a succeeded job without a model id fails.
# * Money decides doubts: where two remote jobs, a file of another size or another base model could be meant, the
#   job is held until an operator chooses. A wrong guess would pay for a training of the wrong data.
#
# The life of a remote job, seen from here:
#
#   submit     select_remote_job   look-up by tag before and after a create: none, exactly one, or AmbiguousRemoteJob
#              check_created       the reply to a create must be about the file that was sent
#              link_remote_job     the job now has its remote job; from here on it is only polled
#   poll       observe_job         one arm for each RemoteJobStatus (`assert_never` keeps them complete)
#              fail_missing_job    the provider repeatedly denied knowing the job
#   adopt      confirm_adoption    an operator named the remote job of a held job: verify base model, file and tag
#              reject_adoption
#   retry      is_remote_job_finished, sum_created_usd
#                                  what a retry has to know about the earlier remote job, and what it had cost
#
# `delay` is the number of seconds until the next poll, chosen by the caller (poll_interval.py). Times are epoch
# seconds, passed in as `now`.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, assert_never

from orchestrator.core.errors import MAX_MESSAGE_LENGTH, AmbiguousRemoteJob, Failure, JobNameTaken, UploadSizeMismatch
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.pins import find_resolved_values
from orchestrator.core.jobs.run import Run
from orchestrator.core.jobs.transitions import Outcome, advance, hold_job, poll_again
from orchestrator.core.remote import RemoteFile, RemoteFileStatus, RemoteJob, RemoteJobStatus, is_same_model
from orchestrator.core.structs import replace
from orchestrator.core.text import format_duration

REMOTE_MISSING_KIND = "remote_missing"
LOSSES_READ_SHARE: Final = 4  # losses are read after a quarter of the time for which the job trains
MAX_NAMED_CANDIDATES: Final = 5  # remote jobs that a message names: a server may list a hundred thousand
MODEL_ID_TIMEOUT_SECONDS = 900.0  # how long a succeeded job may lack its model id
FILE_STATUS_TIMEOUT_SECONDS = 600.0  # how long a provider may report a file as uploaded and no more
SLOW_FILE_SECONDS = 1800.0  # how long a provider may check a file before the job gets a warning
STATUS_UNKNOWN_KIND = "status_unknown"

FILE_REJECTED_HINT = "Run `orchestrator check`, correct the chats, and start again: the changed dataset is a new run."
JOB_FAILED_HINT = (
    "Read the provider's message; correct the chats or hyperparameters, or `orchestrator retry` the account."
)
NO_MODEL_HINT = "Look the job up in the provider's console; `orchestrator retry` trains again, at full price."
REMOTE_MISSING_HINT = (
    "Look the job up in the provider's console. `orchestrator retry` searches for it by its tag and continues with "
    "it; only if the provider lists no such job, a new one is created, at full price."
)


def observe_files(job: Job, files: list[RemoteFile], *, now: float, delay: float) -> Outcome:
    """Decide from the status of the job's files: ready, failed, or check again after `delay` seconds.

    A file that the provider reports as uploaded, and no more, counts as ready after FILE_STATUS_TIMEOUT_SECONDS: some
    servers never report more, and a create that the provider rejects creates nothing.
    """
    for file in files:
        if file.status in {RemoteFileStatus.REFUSED, RemoteFileStatus.GONE}:
            message = f"the provider reports file {file.id} as {file.raw_status}: {file.message or 'no reason given'}"
            return advance(
                job, JobEvent.FILE_REFUSED, now=now, failure=Failure("file_refused", message, FILE_REJECTED_HINT)
            )
    if all(file.status is RemoteFileStatus.READY for file in files):
        return advance(job, JobEvent.FILE_READY, now=now)
    waited = now - job.state_since
    if checking := [file for file in files if file.status is RemoteFileStatus.PROCESSING]:
        warning = _slow_file_warning(checking[0], waited) if waited >= SLOW_FILE_SECONDS else None
        return replace(poll_again(job, now + delay), warning_candidate=warning)
    if waited < FILE_STATUS_TIMEOUT_SECONDS:
        return poll_again(job, now + delay)
    return _assume_ready(job, next(file for file in files if file.status is RemoteFileStatus.UPLOADED), now=now)


def _slow_file_warning(file: RemoteFile, waited: float) -> Failure:
    return Failure(
        "file_slow",
        f"the provider has reported file {file.id} as {file.raw_status!r} for {format_duration(waited)}",
        "Check the file in the provider's console. The job continues once the provider reports the file as ready.",
    )


def _assume_ready(job: Job, file: RemoteFile, *, now: float) -> Outcome:
    status = f"only the status {file.raw_status!r}" if file.raw_status else "no status"
    message = (
        f"for {format_duration(FILE_STATUS_TIMEOUT_SECONDS)} the provider has reported {status} for file {file.id}: "
        f"the job is created as if the file was ready"
    )
    outcome = advance(job, JobEvent.FILE_ASSUMED_READY, now=now)
    hint = "No action needed: a rejected create creates nothing."
    return replace(outcome, failure=Failure("file_assumed", message, hint))


def observe_upload(
    job: Job, files: Sequence[RemoteFile], differences: Sequence[str], *, now: float, delay: float
) -> Outcome:
    """Record that the provider has the files. If `differences` names one with another size, the job is held."""
    mismatch = UploadSizeMismatch("; ".join(differences)) if differences else None
    hold = Hold(mismatch.kind, mismatch.message, mismatch.hint) if mismatch else None
    ready = files[-1].status is RemoteFileStatus.READY
    outcome = advance(
        job,
        JobEvent.FILE_UPLOADED,
        now=now,
        intent_until=None,
        remote_file_id=files[0].id,
        remote_validation_file_id=files[1].id if len(files) > 1 else None,
        hold=hold,
        wake_at=None if hold else now if ready else now + delay,
    )
    failure = hold.failure if hold else None
    return replace(outcome, failure=failure, warning_candidate=failure)


def find_size_difference(file: RemoteFile, sent: Sequence[int]) -> str | None:
    """Describe how the provider's file size differs from all sizes in `sent` (bytes); None if it does not.

    `sent` holds the size without and with a byte-order mark. Some servers report 0 until they have processed the
    file: that means "not counted yet", like None. If it counted as a difference, every account there would be held.
    """
    is_counted = file.bytes is not None and (file.bytes > 0 or file.status is RemoteFileStatus.READY)
    if not is_counted or file.bytes in sent:
        return None
    return f"the provider reports {file.bytes:,} bytes for file {file.id}; {sent[0]:,} were sent"


def observe_job(job: Job, remote: RemoteJob, *, now: float, delay: float) -> Outcome:
    """Decide from the remote job's status: ended, started, or poll again after `delay` seconds."""
    fields = _remote_fields(remote)
    match remote.status:
        case RemoteJobStatus.SUCCEEDED if remote.fine_tuned_model:
            fields["fine_tuned_model"] = remote.fine_tuned_model
            outcome = advance(job, JobEvent.REMOTE_SUCCEEDED, now=now, **fields)
            return replace(outcome, detail="; ".join(remote.notes)[:MAX_MESSAGE_LENGTH] or None)
        case RemoteJobStatus.SUCCEEDED:
            return _await_model_id(job, remote, now=now, delay=delay)
        case RemoteJobStatus.FAILED:
            failure = Failure("job_failed", _failure_reason(remote), JOB_FAILED_HINT, remote.request_id)
            return advance(job, JobEvent.REMOTE_FAILED, now=now, **fields, failure=failure)
        case RemoteJobStatus.CANCELLED:
            return advance(job, JobEvent.REMOTE_CANCELLED, now=now, **fields)
        case RemoteJobStatus.STOPPED if job.cancel_asked:
            return advance(job, JobEvent.REMOTE_CANCELLED, now=now, **fields)
        case RemoteJobStatus.STOPPED:  # no cancel was requested here: a failure, because only that can be retried
            why = remote.error_message or f"the provider stopped it ({remote.raw_status}) without a cancel from here"
            failure = Failure("job_failed", why, JOB_FAILED_HINT, remote.request_id)
            return advance(job, JobEvent.REMOTE_FAILED, now=now, **fields, failure=failure)
        case RemoteJobStatus.RUNNING if job.state is JobState.QUEUED:
            return advance(job, JobEvent.REMOTE_STARTED, now=now, **fields, wake_at=now + delay)
        case RemoteJobStatus.PENDING | RemoteJobStatus.RUNNING | RemoteJobStatus.PAUSED | RemoteJobStatus.CANCELLING:
            return poll_again(job, now + delay, **fields)
        case RemoteJobStatus.UNKNOWN:
            return replace(poll_again(job, now + delay, **fields), warning_candidate=_unknown_status_warning(remote))
        case _:
            assert_never(remote.status)


def link_remote_job(job: Job, remote: RemoteJob, *, now: float, delay: float) -> Outcome:
    """Record that the job has this remote job, which is polled after `delay` seconds."""
    return advance(
        job,
        JobEvent.REMOTE_CREATED,
        now=now,
        request_id=remote.request_id,
        remote_job_id=remote.id,
        intent_until=None,
        wake_at=now + delay,
        hold=None if job.is_deselected else job.hold,  # it is paid for now, whatever its run selects
        **_remote_fields(remote),
    )


def with_pinned_values(outcome: Outcome, run: Run) -> Outcome:
    """Add the values that the provider chose for this job, if the other jobs of the run wait for them."""
    job = outcome.job
    if run.pins.get(job.provider, {}) is not None or job.state not in {JobState.RUNNING, JobState.SUCCEEDED}:
        return outcome
    finished = job.state is JobState.SUCCEEDED
    return replace(
        outcome,
        pinned_values=find_resolved_values(
            run.specs[job.provider], job.provider, job.hyperparameters, finished=finished
        ),
    )


def losses_due(job: Job, now: float, *, least: float, most: float) -> bool:
    """Return whether to read the job's losses: again and again while it trains, and once when it has ended.

    The interval grows with the time for which the job trains, from `least` to `most` seconds. A fixed interval would
    show the curve of a short job only at its end, or read that of a long one too often.
    """
    if job.state in {JobState.SUCCEEDED, JobState.FAILED}:
        return True
    interval = min(max((now - job.state_since) / LOSSES_READ_SHARE, least), most)
    return job.state is JobState.RUNNING and now - (job.losses_at or job.state_since) >= interval


def fail_missing_job(job: Job, *, now: float) -> Outcome:
    """Fail a job whose remote job the provider no longer has. That is never a reason to create another one."""
    message = f"the provider no longer has job {job.remote_job_id}; its last status was {job.remote_status}"
    return advance(job, JobEvent.FAILED, now=now, failure=Failure(REMOTE_MISSING_KIND, message, REMOTE_MISSING_HINT))


def is_remote_job_finished(job: Job) -> bool:
    """Return whether a failed job's remote job is known to have ended, so that a retry has to create another one.

    A job whose name belongs to somebody else never had a remote job, and needs another name.
    """
    if job.failure is not None and job.failure.kind == JobNameTaken.kind:
        return True
    return job.remote_job_id is not None and (job.failure is None or job.failure.kind != REMOTE_MISSING_KIND)


def sum_created_usd(job: Job) -> float | None:
    """Return the estimated price of all remote jobs that are known to have been created; None when there is none.

    A create whose outcome is unknown is not among them: the next round has the same tag, finds it and counts it.
    """
    latest = job.estimated_usd if job.remote_job_id is not None else None
    prices = [usd for usd in (job.earlier_usd, latest) if usd is not None]
    return sum(prices) if prices else None


def select_remote_job(job: Job, candidates: list[RemoteJob]) -> RemoteJob | None:
    """Return the candidate that belongs to the job; None if there is no candidate.

    `candidates` are the remote jobs with the job's tag. Raises AmbiguousRemoteJob if there are several, or one that
    was trained on another file.
    """
    if len(candidates) > 1:
        shown = ", ".join(
            f"{candidate.id} ({candidate.raw_status})" for candidate in candidates[:MAX_NAMED_CANDIDATES]
        )
        raise AmbiguousRemoteJob(
            f"{len(candidates)} remote jobs carry the tag {job.tag}: {shown}",
            hint=f"Compare them in the provider's console and choose: {format_adopt_commands(job.tag, candidates)}. "
            "The others stay as they are, and cost money until you cancel them there.",
        )
    for candidate in candidates:
        if candidate.training_file != job.remote_file_id:
            raise AmbiguousRemoteJob(
                f"remote job {candidate.id} ({candidate.raw_status}) carries the tag {job.tag} "
                f"but was trained on file {candidate.training_file}, not {job.remote_file_id}",
                hint="Check it in the provider's console. If its file holds the same chats, uploaded earlier: "
                f"{format_adopt_commands(job.tag, candidates)}. "
                "Nothing is created while it exists, and it costs money until it ends or you cancel it there.",
            )
        return candidate
    return None


def check_created(job: Job, remote: RemoteJob) -> RemoteJob:
    """Return the remote job of a create's reply. Raises AmbiguousRemoteJob if it is about another training file.

    A reply without a training file is accepted.
    """
    if remote.training_file and remote.training_file != job.remote_file_id:
        raise AmbiguousRemoteJob(
            f"the create was sent for file {job.remote_file_id}, and the provider returned remote job {remote.id} "
            f"({remote.raw_status}) with file {remote.training_file}",
            hint=f"Check both files in the provider's console. If {remote.id} belongs to this job: "
            f"{format_adopt_commands(job.tag, [remote])}. "
            f"Otherwise `orchestrator release {job.account}`: the service searches the provider for the job again.",
            create_sent=True,
        )
    return remote


def format_adopt_commands(tag: str, candidates: Iterable[RemoteJob]) -> str:
    """Format the commands that adopt one of the candidates for the job with this tag; of many the first ones."""
    job_id, found = tag.partition(".")[0], list(candidates)
    commands = [f"`orchestrator adopt {job_id} {candidate.id}`" for candidate in found[:MAX_NAMED_CANDIDATES]]
    more = len(found) - len(commands)
    return " or ".join([*commands, *([f"with the id of one of {more:,} others"] if more else [])])


def confirm_adoption(job: Job, remote: RemoteJob, tagged: Sequence[str], *, now: float) -> Outcome:
    """Link the remote job that an operator chose, if it trains the job's base model on its file or carries its tag.

    `tagged` are the ids of the remote jobs with the job's tag. A job with another base model or file is rejected.
    """
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
    """Hold the job again, because the remote job that an operator chose does not fit."""
    hint = (
        f"Run `orchestrator adopt {job.id} REMOTE_ID` with the right id, or `orchestrator release {job.account}` to "
        "search the provider again."
    )
    return hold_job(replace(job, remote_job_id=None), Hold(AmbiguousRemoteJob(why).kind, why, hint))


def _unknown_status_warning(remote: RemoteJob) -> Failure:
    return Failure(
        STATUS_UNKNOWN_KIND,
        f"the provider reports remote job {remote.id} as {remote.raw_status!r}, a status that is not known here",
        "Look the job up in the provider's console, and report the status to the maintainers of orchestrator. The "
        "service still polls the job and continues once the provider reports a known status.",
        remote.request_id,
    )


def _await_model_id(job: Job, remote: RemoteJob, *, now: float, delay: float) -> Outcome:
    if job.remote_status != remote.raw_status:  # just succeeded: give the provider time to name the model
        return _restart_state_clock(poll_again(job, now + delay, **_remote_fields(remote)), now)
    if now - job.state_since < MODEL_ID_TIMEOUT_SECONDS:
        return poll_again(job, now + delay, **_remote_fields(remote))
    message = f"remote job {remote.id} succeeded but the provider names no model"
    failure = Failure("model_id_missing", message, NO_MODEL_HINT, remote.request_id)
    return advance(job, JobEvent.REMOTE_FAILED, now=now, **_remote_fields(remote), failure=failure)


def _restart_state_clock(outcome: Outcome, now: float) -> Outcome:
    """Restart the time in the state: something changed, although no transition happened."""
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
