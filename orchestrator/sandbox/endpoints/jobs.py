"""The fine-tuning job endpoints."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from orchestrator.sandbox.api_call import ApiCall
from orchestrator.sandbox.endpoints.files import get_file_status
from orchestrator.sandbox.endpoints.models import find_fine_tuning_job
from orchestrator.sandbox.paging import add_first_and_last_id, build_page
from orchestrator.sandbox.records import SandboxFile, SandboxJob, SandboxVerdict
from orchestrator.sandbox.response import ApiResponse, SandboxApiError, bad_request
from orchestrator.sandbox.simulation.job_progress import build_checkpoints, build_events, build_job_error
from orchestrator.sandbox.simulation.job_timeline import Timeline
from orchestrator.sandbox.simulation.model_catalogue import find_base_model
from orchestrator.sandbox.validation.hyperparameters import resolve_hyperparameters
from orchestrator.sandbox.validation.job_request import JobRequest, parse_job_request

MAX_LISTED_ITEMS = 100
MIN_TRAINING_EXAMPLES = 10  # of a training file; a validation file may be smaller
FINAL_STATUSES = {"succeeded", "failed", "cancelled"}


async def create_job(call: ApiCall) -> ApiResponse:
    """Handle POST /v1/fine_tuning/jobs."""
    request = parse_job_request(await call.parse_json_body())
    model = _get_trainable_model(call, request)
    files = {"training_file": _get_training_file(call, request.training_file, "training_file")}
    if request.validation_file:
        files["validation_file"] = _get_training_file(call, request.validation_file, "validation_file")
    problems = (_find_content_problem(call, request, file, param) for param, file in files.items())
    problem = next((problem for problem in problems if problem), None)
    job = _build_job(call, request, model, files["training_file"], problem)
    # A file that is still being processed does not refuse the job; the job stays in `validating_files` for longer.
    ready_at = max(file.created_at + file.seconds for file in files.values())
    return ApiResponse(job_to_json(call, call.state.jobs.save(replace(job, files_ready_at=ready_at))))


async def list_jobs(call: ApiCall) -> ApiResponse:
    """Handle GET /v1/fine_tuning/jobs, newest first. Filters: `metadata[KEY]=VALUE`; `metadata=null` for none."""
    metadata = {key[9:-1]: value for key, value in call.query.items() if key.startswith("metadata[")}
    jobs = call.list_visible(call.state.jobs)
    if call.query.get("metadata") == "null":
        jobs = [job for job in jobs if not job.metadata]
    matching = [job for job in jobs if metadata.items() <= (job.metadata or {}).items()]
    bodies = [job_to_json(call, job) for job in reversed(matching)]
    return ApiResponse(build_page(bodies, call.query, default=20, maximum=MAX_LISTED_ITEMS))


async def retrieve_job(call: ApiCall) -> ApiResponse:
    """Handle GET /v1/fine_tuning/jobs/{job_id}."""
    return ApiResponse(job_to_json(call, get_job(call)))


async def cancel_job(call: ApiCall) -> ApiResponse:
    """Handle POST /v1/fine_tuning/jobs/{job_id}/cancel."""
    job = get_job(call)
    if _get_status(call, job) in FINAL_STATUSES:
        raise _wrong_state_error(call, job, "cancel")
    return ApiResponse(job_to_json(call, call.state.jobs.save(replace(job, cancelled_at=call.now))))


async def pause_job(call: ApiCall) -> ApiResponse:
    """Handle POST /v1/fine_tuning/jobs/{job_id}/pause."""
    job = get_job(call)
    if _get_status(call, job) != "running":
        raise _wrong_state_error(call, job, "pause")
    return ApiResponse(job_to_json(call, call.state.jobs.save(replace(job, pauses=[*job.pauses, [call.now, None]]))))


async def resume_job(call: ApiCall) -> ApiResponse:
    """Handle POST /v1/fine_tuning/jobs/{job_id}/resume."""
    job = get_job(call)
    if _get_status(call, job) != "paused":
        raise _wrong_state_error(call, job, "resume")
    pauses = [*job.pauses[:-1], [job.pauses[-1][0], call.now]]
    return ApiResponse(job_to_json(call, call.state.jobs.save(replace(job, pauses=pauses))))


async def list_events(call: ApiCall) -> ApiResponse:
    """Handle GET /v1/fine_tuning/jobs/{job_id}/events, newest first."""
    job = get_job(call)
    events = build_events(job, _get_timeline(call, job), call.now)
    return ApiResponse(build_page(events, call.query, default=20, maximum=MAX_LISTED_ITEMS))


async def list_checkpoints(call: ApiCall) -> ApiResponse:
    """Handle GET /v1/fine_tuning/jobs/{job_id}/checkpoints, newest first."""
    job = get_job(call)
    checkpoints = build_checkpoints(job, _get_timeline(call, job), call.now)
    return ApiResponse(
        add_first_and_last_id(build_page(checkpoints, call.query, default=10, maximum=MAX_LISTED_ITEMS), empty=None)
    )


def get_job(call: ApiCall) -> SandboxJob:
    """Return the job of the path, if it belongs to the caller. Raises SandboxApiError (404)."""
    name = call.get_path_parameter("job_id")
    job = call.state.jobs.of(call.account).get(name)
    if job is None or not job.is_visible(call.now):
        code = "fine_tune_not_found"
        raise SandboxApiError(404, f"Could not find fine tune: {name}", param="fine_tune_id", code=code)
    return job


def job_to_json(call: ApiCall, job: SandboxJob) -> dict[str, Any]:
    """Convert a job to the provider's JSON at the time of the call."""
    timeline = _get_timeline(call, job)
    status = timeline.get_status(call.now)
    succeeded = status == "succeeded"
    used = job.resolved if timeline.started <= call.now else job.asked  # `auto` is resolved when training starts
    common = {name: used[name] for name in ("n_epochs", "batch_size", "learning_rate_multiplier")}
    return {
        "object": "fine_tuning.job",
        "id": job.id,
        "model": job.model,
        "created_at": int(job.created_at),
        "finished_at": int(timeline.ended) if status in FINAL_STATUSES else None,
        "fine_tuned_model": job.fine_tuned_model if succeeded and timeline.model_available <= call.now else None,
        "organization_id": call.caller.organization,
        "result_files": [job.result_file] if succeeded else [],
        "status": call.state.settings.paused_status if status == "paused" else status,
        "validation_file": job.validation_file,
        "training_file": job.training_file,
        "hyperparameters": common,
        "trained_tokens": job.tokens * int(job.resolved["n_epochs"]) if succeeded else None,
        "error": build_job_error(job) if status == "failed" else None,
        "user_provided_suffix": job.suffix,
        "seed": job.seed,
        "estimated_finish": int(timeline.ended) if status == "running" else None,
        "integrations": job.integrations,
        "metadata": job.metadata,
        "method": {"type": job.method, job.method: job.method_options | {"hyperparameters": used}},
    }


def _build_job(
    call: ApiCall, request: JobRequest, model: str, training: SandboxFile, problem: dict[str, Any] | None
) -> SandboxJob:
    verdict, settings = _get_verdict(call, training), call.state.settings
    number = uuid4()
    return SandboxJob(
        id=f"ftjob-{number.hex[:24]}",
        account=call.account,
        created_at=call.now,
        model=model,
        training_file=training.id,
        validation_file=request.validation_file,
        suffix=request.suffix,
        seed=number.int % 2**31 if request.seed is None else request.seed,
        metadata=request.metadata,
        integrations=request.integrations,
        method=request.method,
        asked=request.hyperparameters,
        resolved=resolve_hyperparameters(request.hyperparameters, verdict.examples),
        method_options=request.options,
        examples=verdict.examples,
        tokens=verdict.tokens,
        training_sha256=training.sha256,
        token=uuid4().hex[:8],
        result_file=f"file-{uuid4().hex[:24]}",
        validating_seconds=settings.validating_seconds,
        queue_seconds=settings.queue_seconds,
        training_seconds=settings.training_seconds,
        problem=problem,
        fate=call.deferred_faults,
    )


def _get_trainable_model(call: ApiCall, request: JobRequest) -> str:
    """Return the full id of the model to train. Raises SandboxApiError (400)."""
    name = request.model
    parent = find_fine_tuning_job(call, name)  # a fine-tuned model can be trained further
    base = find_base_model(parent.model if parent else name)
    if base is None or not base.methods:
        message = f"Model {name} is not available for fine-tuning or does not exist."
        raise bad_request(message, "model", "model_not_found")
    if request.method not in base.methods:
        message = f"Model {name} cannot be fine-tuned with method '{request.method}'."
        raise bad_request(message, "method", "unsupported_method")
    return name if parent else base.id


def _get_training_file(call: ApiCall, name: str, param: str) -> SandboxFile:
    """Return a file of the caller that is not known to be unusable. Raises SandboxApiError (400)."""
    file = call.state.files.of(call.account).get(name)
    if file is None or not file.is_visible(call.now):
        raise bad_request(f"invalid {param}: {name}", param, "file_not_found")
    if file.purpose != "fine-tune":
        message = f"Invalid file purpose: {name} has purpose '{file.purpose}', expected 'fine-tune'."
        raise bad_request(message, param, "invalid_file_purpose")
    status, problem = get_file_status(call.state, file, call.now)
    if status == "uploaded" and call.reject_unprocessed_files:
        message = f"File '{name}' is still being processed and is not ready to be used for fine-tuning."
        raise bad_request(f"{message} Please try again later.", param, "file_not_ready")
    if status == "error":
        raise bad_request(f"File '{name}' could not be processed: {problem}", param, "invalid_file")
    return file


def _find_content_problem(call: ApiCall, request: JobRequest, file: SandboxFile, param: str) -> dict[str, Any] | None:
    """Return the `error` object with which the job will fail validation, or None."""
    verdict = _get_verdict(call, file)
    _, problem = get_file_status(call.state, file, file.created_at + file.seconds)
    problem = problem or verdict.problems.get(request.method)
    if problem is None and param == "training_file" and verdict.examples < MIN_TRAINING_EXAMPLES:
        problem = (
            f"Training file has {verdict.examples} example(s), "
            f"but must have at least {MIN_TRAINING_EXAMPLES} examples"
        )
    if problem is None:
        return None
    message = f"The job failed due to an invalid {param.replace('_', ' ')}. {problem}"
    return {"code": f"invalid_{param}", "message": message, "param": param}


def _get_verdict(call: ApiCall, file: SandboxFile) -> SandboxVerdict:
    return call.state.verdicts.of("")[file.sha256]


def _get_timeline(call: ApiCall, job: SandboxJob) -> Timeline:
    return call.state.get_timelines(call.account)[job.id]


def _get_status(call: ApiCall, job: SandboxJob) -> str:
    return _get_timeline(call, job).get_status(call.now)


def _wrong_state_error(call: ApiCall, job: SandboxJob, verb: str) -> SandboxApiError:
    message = f"Cannot {verb} job {job.id}: it is {_get_status(call, job)}."
    return bad_request(message, "fine_tune_id", f"cannot_{verb}")
