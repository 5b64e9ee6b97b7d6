"""The checks of a server's job calls, except the create: list, retrieve, events and cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from orchestrator.app.conformance.file_checks import LIST_LAG_SECONDS
from orchestrator.app.conformance.report import ContractResult, JobRecovery
from orchestrator.app.conformance.trial import Trial
from orchestrator.core.capabilities import JobLookup
from orchestrator.core.errors import (
    AmbiguousRemoteJob,
    OrchestratorError,
    ProviderError,
    RemoteNotFound,
)
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.remote import RemoteJob, RemoteJobStatus
from orchestrator.core.structs import replace
from orchestrator.providers.base import TERMINAL_JOB_STATUSES, JobOrder, JobPagingProvider

LIST_JOBS, FIND_JOB, OTHER_JOBS, LIST_PAGES = "list jobs", "find job", "other jobs", "list pages"
RETRIEVE_JOB = "retrieve job"
HYPERPARAMETERS, EVENTS, UNKNOWN_ID, CANCEL = "hyperparameters", "events", "unknown job", "cancel job"
STATUS_WORDS, RESULT = "status words", "model id"
TAG_FIX: Final = (
    "Store `metadata` or `suffix` of POST /fine_tuning/jobs, and return it in every answer and in the list."
)


async def check_job_list(trial: Trial) -> None:
    """List the jobs before there is one, as the service does before each create."""
    try:
        await trial.provider.find_jobs(trial.build_order())
    except OrchestratorError as error:
        fix = "Answer GET /fine_tuning/jobs with {data: [jobs], has_more}, without required parameters."
        trial.add(LIST_JOBS, ContractResult.MISSING, error.message, fix)
    else:
        trial.add(LIST_JOBS, ContractResult.WORKS, "readable to the last page")


async def check_recovery(trial: Trial) -> None:
    """Find the job again without its id, as the service does after a lost answer."""
    order, listed = trial.build_order(), list[RemoteJob]()

    async def is_listed() -> bool:
        listed[:] = await trial.provider.find_jobs(order)
        return bool(listed)

    try:
        found = await trial.wait_for(is_listed, LIST_LAG_SECONDS)
    except AmbiguousRemoteJob:
        trial.recovery = JobRecovery.HELD
        fix = await _find_tag_fix(trial, order)
        trial.add(FIND_JOB, ContractResult.MISSING, "the list shows neither metadata nor suffix of the job", fix)
    except ProviderError as error:
        trial.recovery = JobRecovery.UNREADABLE
        trial.add(FIND_JOB, ContractResult.MISSING, error.message)
    else:
        if not found:
            trial.recovery = JobRecovery.NOT_FOUND
            message = "the list does not contain the job that was just created, or not with the tag that was sent"
            trial.add(FIND_JOB, ContractResult.MISSING, message, await _find_tag_fix(trial, order))
        else:
            await _check_found_jobs(trial, order, listed)


async def _find_tag_fix(trial: Trial, order: JobOrder) -> str:
    """Return what would make the job recognisable: an option of the account, if the list shows the training file."""
    if "file_per_job" not in PROVIDERS[trial.account.provider].account_options or trial.account.file_per_job:
        return TAG_FIX
    try:
        found = await trial.connect(replace(trial.account, file_per_job=True)).find_jobs(order)
    except OrchestratorError:
        return TAG_FIX
    has_found = trial.remote_job is not None and [job.id for job in found] == [trial.remote_job.id]
    return f"Add to the account: file_per_job = true. Or: {TAG_FIX}" if has_found else TAG_FIX


async def _check_found_jobs(trial: Trial, order: JobOrder, listed: list[RemoteJob]) -> None:
    assert trial.remote_job is not None
    others = [job for job in listed if job.id != trial.remote_job.id]
    if others:
        trial.recovery = JobRecovery.NOT_FOUND
        names = ", ".join(job.id for job in others)
        message = (
            f"one request created {len(listed)} jobs, or one job has several ids: {trial.remote_job.id}, {names}"
        )
        trial.add(FIND_JOB, ContractResult.MISSING, message, "Create one job for one request, with one id.")
        trial.leftovers += [f"job {job.id}: it was not created by this test alone" for job in others]
        return
    trial.found_by = await _find_sign(trial, order)
    trial.recovery = JobRecovery.FOUND
    trial.add(FIND_JOB, ContractResult.WORKS, f"by {trial.found_by}")
    await _check_other_tag(trial, order)


async def _find_sign(trial: Trial, order: JobOrder) -> str:
    """Return the sign by which the job was found."""
    lookup = trial.provider.capabilities.job_lookup
    if lookup is not JobLookup.METADATA_OR_SUFFIX:
        return lookup.value
    without_suffix = trial.connect(replace(trial.account, suffix_length=0, suffix_required=False))
    try:
        return "its metadata" if await without_suffix.find_jobs(order) else "its suffix"
    except AmbiguousRemoteJob:
        return "the tag in its suffix; the server stores no metadata"


async def _check_other_tag(trial: Trial, order: JobOrder) -> None:
    """Search for a job that does not exist: the same model, and the same file unless the file is the sign."""
    other_tag = f"{trial.tag[:-1]}{int(trial.tag[-1]) + 1}"
    own_file = trial.provider.capabilities.has_file_per_job
    other = replace(order, tag=other_tag, training_file="another-file" if own_file else order.training_file)
    try:
        found = await trial.provider.find_jobs(other)
    except OrchestratorError as error:
        trial.recovery = JobRecovery.HELD
        trial.add(OTHER_JOBS, ContractResult.MISSING, error.message, TAG_FIX)
        return
    if found:
        trial.recovery = JobRecovery.WRONG_JOB
        message = f"job {found[0].id} is returned for another tag as well"
        trial.add(OTHER_JOBS, ContractResult.MISSING, message, TAG_FIX)
    else:
        trial.add(OTHER_JOBS, ContractResult.WORKS, "another tag finds no job")


async def check_list_pages(trial: Trial) -> None:
    """Check that a job beyond the first page of the list would be found, too."""
    assert trial.remote_job is not None
    if not hasattr(trial.provider, "probe_job_paging"):  # another way of paging, which the dialect's own tests cover
        return
    fix = "Honour the parameter `after` of GET /fine_tuning/jobs, or return every job in one page."
    try:
        paging = await cast(JobPagingProvider, trial.provider).probe_job_paging(trial.remote_job.id)
    except ProviderError as error:
        trial.add(LIST_PAGES, ContractResult.MISSING, error.message, fix)
        return
    if paging.honours_cursor:
        trial.add(LIST_PAGES, ContractResult.WORKS, "the next page starts after the last job")
    elif paging.hides_jobs:
        message = "the list has a limit and ignores `after`, so that older jobs are not found, and created again"
        trial.add(LIST_PAGES, ContractResult.MISSING, message, fix)
        trial.recovery = JobRecovery.NOT_FOUND
    else:
        message = "the list ignores `after`; if it ever leaves out older jobs, they are not found again"
        trial.add(LIST_PAGES, ContractResult.LIMITED, message, fix)


async def check_job_retrieval(trial: Trial) -> None:
    """Retrieve the job by its id, and compare its hyperparameters with the requested ones."""
    assert trial.remote_job is not None
    try:
        job = await trial.provider.get_job(trial.remote_job.id)
    except ProviderError as error:
        trial.add(
            RETRIEVE_JOB, ContractResult.MISSING, error.message, "Answer GET /fine_tuning/jobs/ID with the job."
        )
        return
    trial.record_job(job)
    trial.add(RETRIEVE_JOB, ContractResult.WORKS, f"status {job.raw_status}")
    used = job.hyperparameters.get("n_epochs")
    if used is None:
        message = "the job does not show n_epochs; whether the server uses the requested value is unknown"
        trial.add(HYPERPARAMETERS, ContractResult.LIMITED, message)
    elif str(used) in {"1", "1.0"}:
        trial.add(HYPERPARAMETERS, ContractResult.WORKS, "n_epochs is used as requested")
    else:
        message = f"n_epochs is {used} and not 1 as requested: the server ignores the hyperparameters"
        fix = 'Read `method`, or set hyperparameter_format = "flat" or "both" in the account.'
        trial.add(HYPERPARAMETERS, ContractResult.MISSING, message, fix)


async def check_events(trial: Trial) -> None:
    """Read the events of the job. Without them there are no losses."""
    assert trial.remote_job is not None
    if not trial.provider.capabilities.events:
        trial.add(EVENTS, ContractResult.SKIPPED, "the provider has no events")
        return
    try:
        events = await trial.provider.events(trial.remote_job.id)
    except ProviderError as error:
        message = f"{error.message}; the job works without events, but shows no losses"
        trial.add(EVENTS, ContractResult.LIMITED, message)
    else:
        trial.add(EVENTS, ContractResult.WORKS, f"{len(events)} so far")


async def check_unknown_job(trial: Trial) -> None:
    """Retrieve a job that does not exist. Only a 404 means that a job is gone."""
    assert trial.remote_job is not None
    known = trial.remote_job.id
    unknown = f"{known[:-6]}000000" if len(known) >= 16 else f"{known}-unknown"
    fix = "Answer GET /fine_tuning/jobs/ID with 404 for an id that does not exist."
    try:
        job = await trial.provider.get_job(unknown)
    except RemoteNotFound as error:
        trial.add(UNKNOWN_ID, ContractResult.WORKS, error.message)
    except ProviderError as error:
        message = f"{error.message}; a job that is gone is polled instead of failed"
        trial.add(UNKNOWN_ID, ContractResult.LIMITED, message, fix)
    else:
        trial.add(
            UNKNOWN_ID, ContractResult.LIMITED, f"the server returns job {job.id} for an id that it never gave", fix
        )


async def check_training(trial: Trial) -> None:
    """Wait until the job has ended, and check that it names its model."""
    if not await _follow_job(trial, RESULT, TERMINAL_JOB_STATUSES.__contains__):
        return
    assert trial.remote_job is not None
    job = trial.remote_job
    if job.status is not RemoteJobStatus.SUCCEEDED:
        message = f"the job ended as {job.raw_status}: {job.error_message or 'the server gives no reason'}"
        trial.add(RESULT, ContractResult.MISSING, message)
    elif not job.fine_tuned_model:
        fix = "Return the name of the model in `fine_tuned_model` as soon as the job has succeeded."
        trial.add(RESULT, ContractResult.MISSING, "the job succeeded and names no model", fix)
    else:
        trial.add(RESULT, ContractResult.WORKS, job.fine_tuned_model)


async def check_cancel(trial: Trial) -> None:
    """Cancel the job, and wait until the server confirms it."""
    assert trial.remote_job is not None
    if not trial.provider.capabilities.cancel:
        trial.add(CANCEL, ContractResult.SKIPPED, "the provider cannot cancel a job")
        return
    try:
        trial.record_job(await trial.provider.cancel_job(trial.remote_job.id))
    except ProviderError as error:
        fix = "Answer POST /fine_tuning/jobs/ID/cancel with the job, and stop it."
        trial.add(CANCEL, ContractResult.MISSING, error.message, fix)
        return
    if not await _follow_job(trial, CANCEL, TERMINAL_JOB_STATUSES.__contains__):
        return
    if trial.remote_job.status in {RemoteJobStatus.CANCELLED, RemoteJobStatus.STOPPED}:
        trial.add(CANCEL, ContractResult.WORKS, trial.remote_job.raw_status)
    else:
        message = f"the job had ended as {trial.remote_job.raw_status} before it could be cancelled"
        trial.add(CANCEL, ContractResult.SKIPPED, message)


async def _follow_job(trial: Trial, name: str, is_expected: Callable[[RemoteJobStatus], bool]) -> bool:
    """Poll the job until its status is expected. Adds a defect if it is not in time."""
    assert trial.remote_job is not None
    job_id = trial.remote_job.id

    async def is_reached() -> bool:
        if trial.remote_job is None or not is_expected(trial.remote_job.status):
            trial.record_job(await trial.provider.get_job(job_id))
        return trial.remote_job is not None and is_expected(trial.remote_job.status)

    try:
        if await trial.wait_for(is_reached):
            return True
    except ProviderError as error:
        trial.add(name, ContractResult.MISSING, error.message)
        return False
    message = f"the status is still {trial.remote_job.raw_status!r} after {trial.max_wait_seconds:g} s"
    trial.add(name, ContractResult.MISSING, message, "Allow more time with --timeout, or correct the status.")
    return False


def check_status_words(trial: Trial) -> None:
    """Check that every status word of the job is one that the service understands."""
    unknown = [word for word, status in trial.words.items() if status is RemoteJobStatus.UNKNOWN]
    if not unknown:
        trial.add(STATUS_WORDS, ContractResult.WORKS, ", ".join(trial.words))
        return
    last_is_unknown = next(reversed(trial.words.values())) is RemoteJobStatus.UNKNOWN
    message = f"not understood: {', '.join(map(repr, unknown))}"
    message += "; such a job is polled until its status changes" if last_is_unknown else "; the job gets a warning"
    fix = "Use queued, running, succeeded, failed and cancelled."
    trial.add(STATUS_WORDS, ContractResult.MISSING if last_is_unknown else ContractResult.LIMITED, message, fix)
