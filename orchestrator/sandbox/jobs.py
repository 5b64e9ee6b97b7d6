"""The fine-tuning endpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

from orchestrator.sandbox.answer import Answer, Refusal, invalid
from orchestrator.sandbox.call import Call
from orchestrator.sandbox.catalogue import base_model
from orchestrator.sandbox.files import file_status
from orchestrator.sandbox.hyperparameters import resolve_hyperparameters
from orchestrator.sandbox.job_request import JobRequest, parse_job_request
from orchestrator.sandbox.models import find_fine_tuned
from orchestrator.sandbox.paging import page, with_ends
from orchestrator.sandbox.progress import checkpoints, events, failure
from orchestrator.sandbox.records import File, Job, Verdict
from orchestrator.sandbox.timeline import Timeline

LIST_LIMIT = 100
LEAST_EXAMPLES = 10  # of a training file; a validation file may be smaller
FINAL = {"succeeded", "failed", "cancelled"}


async def create_job(call: Call) -> Answer:
    """POST /v1/fine_tuning/jobs."""
    request = parse_job_request(await call.json())
    model = _trainable(call, request)
    files = {"training_file": _training_file(call, request.training_file, "training_file")}
    if request.validation_file:
        files["validation_file"] = _training_file(call, request.validation_file, "validation_file")
    problems = (_content_problem(call, request, file, param) for param, file in files.items())
    problem = next((problem for problem in problems if problem), None)
    job = _new_job(call, request, model, files["training_file"], problem)
    # A file that is still processed does not refuse the job: the job shows `validating_files` for longer.
    ready_at = max(file.created_at + file.seconds for file in files.values())
    return Answer(job_body(call, call.world.jobs.save(replace(job, files_ready_at=ready_at))))


async def list_jobs(call: Call) -> Answer:
    """GET /v1/fine_tuning/jobs, newest first; `metadata[KEY]=VALUE` filters, `metadata=null`: those without any."""
    wanted = {key[9:-1]: value for key, value in call.query.items() if key.startswith("metadata[")}
    jobs = call.listed(call.world.jobs)
    if call.query.get("metadata") == "null":
        jobs = [job for job in jobs if not job.metadata]
    found = [job for job in jobs if wanted.items() <= (job.metadata or {}).items()]
    bodies = [job_body(call, job) for job in reversed(found)]
    return Answer(page(bodies, call.query, usual=20, most=LIST_LIMIT))


async def retrieve_job(call: Call) -> Answer:
    """GET /v1/fine_tuning/jobs/{job_id}."""
    return Answer(job_body(call, find_job(call)))


async def cancel_job(call: Call) -> Answer:
    """POST …/cancel."""
    job = find_job(call)
    if _status(call, job) in FINAL:
        raise _wrong_state(call, job, "cancel")
    return Answer(job_body(call, call.world.jobs.save(replace(job, cancelled_at=call.now))))


async def pause_job(call: Call) -> Answer:
    """POST …/pause."""
    job = find_job(call)
    if _status(call, job) != "running":
        raise _wrong_state(call, job, "pause")
    return Answer(job_body(call, call.world.jobs.save(replace(job, pauses=[*job.pauses, [call.now, None]]))))


async def resume_job(call: Call) -> Answer:
    """POST …/resume."""
    job = find_job(call)
    if _status(call, job) != "paused":
        raise _wrong_state(call, job, "resume")
    pauses = [*job.pauses[:-1], [job.pauses[-1][0], call.now]]
    return Answer(job_body(call, call.world.jobs.save(replace(job, pauses=pauses))))


async def list_events(call: Call) -> Answer:
    """GET …/events, newest first."""
    job = find_job(call)
    happened = events(job, _timeline(call, job), call.now)
    return Answer(page(happened, call.query, usual=20, most=LIST_LIMIT))


async def list_checkpoints(call: Call) -> Answer:
    """GET …/checkpoints, newest first."""
    job = find_job(call)
    made = checkpoints(job, _timeline(call, job), call.now)
    return Answer(with_ends(page(made, call.query, usual=10, most=LIST_LIMIT), empty=None))


def find_job(call: Call) -> Job:
    """The caller's job that the path names. Raises Refusal (404)."""
    name = call.path("job_id")
    job = call.world.jobs.of(call.account).get(name)
    if job is None or not job.visible(call.now):
        code = "fine_tune_not_found"
        raise Refusal(404, f"Could not find fine tune: {name}", param="fine_tune_id", code=code)
    return job


def job_body(call: Call, job: Job) -> dict[str, Any]:
    """The job as the provider shows it."""
    timeline = _timeline(call, job)
    status = timeline.status(call.now)
    done = status == "succeeded"
    used = job.resolved if timeline.started <= call.now else job.asked
    shown = {name: used[name] for name in ("n_epochs", "batch_size", "learning_rate_multiplier")}
    return {
        "object": "fine_tuning.job",
        "id": job.id,
        "model": job.model,
        "created_at": int(job.created_at),
        "finished_at": int(timeline.ended) if status in FINAL else None,
        "fine_tuned_model": job.fine_tuned_model if done and timeline.model_from <= call.now else None,
        "organization_id": call.caller.organization,
        "result_files": [job.result_file] if done else [],
        "status": call.world.settings.paused_status if status == "paused" else status,
        "validation_file": job.validation_file,
        "training_file": job.training_file,
        "hyperparameters": shown,
        "trained_tokens": job.tokens * int(job.resolved["n_epochs"]) if done else None,
        "error": failure(job) if status == "failed" else None,
        "user_provided_suffix": job.suffix,
        "seed": job.seed,
        "estimated_finish": int(timeline.ended) if status == "running" else None,
        "integrations": job.integrations,
        "metadata": job.metadata,
        "method": {"type": job.method, job.method: job.method_options | {"hyperparameters": used}},
    }


def _new_job(call: Call, request: JobRequest, model: str, training: File, problem: dict[str, Any] | None) -> Job:
    verdict, settings = _verdict(call, training), call.world.settings
    number = uuid4()
    return Job(
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
        fate=call.fate,
    )


def _trainable(call: Call, request: JobRequest) -> str:
    """The full id of the model to train. Raises Refusal (400)."""
    name = request.model
    earlier = find_fine_tuned(call, name)
    base = base_model(earlier.model if earlier else name)
    if base is None or not base.methods:
        message = f"Model {name} is not available for fine-tuning or does not exist."
        raise invalid(message, "model", "model_not_found")
    if request.method not in base.methods:
        message = f"Model {name} cannot be fine-tuned with method '{request.method}'."
        raise invalid(message, "method", "unsupported_method")
    return name if earlier else base.id


def _training_file(call: Call, name: str, param: str) -> File:
    """A file that can be trained on, as far as its status shows it yet. Raises Refusal (400)."""
    file = call.world.files.of(call.account).get(name)
    if file is None or not file.visible(call.now):
        raise invalid(f"invalid {param}: {name}", param, "file_not_found")
    if file.purpose != "fine-tune":
        message = f"Invalid file purpose: {name} has purpose '{file.purpose}', expected 'fine-tune'."
        raise invalid(message, param, "invalid_file_purpose")
    status, problem = file_status(call.world, file, call.now)
    if status == "uploaded" and call.refuse_unprocessed:
        message = f"File '{name}' is still being processed and is not ready to be used for fine-tuning."
        raise invalid(f"{message} Please try again later.", param, "file_not_ready")
    if status == "error":
        raise invalid(f"File '{name}' could not be processed: {problem}", param, "invalid_file")
    return file


def _content_problem(call: Call, request: JobRequest, file: File, param: str) -> dict[str, Any] | None:
    """The `error` with which the job will fail validation."""
    verdict = _verdict(call, file)
    _, problem = file_status(call.world, file, file.created_at + file.seconds)
    problem = problem or verdict.problems.get(request.method)
    if problem is None and param == "training_file" and verdict.examples < LEAST_EXAMPLES:
        problem = f"Training file has {verdict.examples} example(s), but must have at least {LEAST_EXAMPLES} examples"
    if problem is None:
        return None
    message = f"The job failed due to an invalid {param.replace('_', ' ')}. {problem}"
    return {"code": f"invalid_{param}", "message": message, "param": param}


def _verdict(call: Call, file: File) -> Verdict:
    return call.world.verdicts.of("")[file.sha256]


def _timeline(call: Call, job: Job) -> Timeline:
    return call.world.timelines(call.account)[job.id]


def _status(call: Call, job: Job) -> str:
    return _timeline(call, job).status(call.now)


def _wrong_state(call: Call, job: Job, verb: str) -> Refusal:
    message = f"Cannot {verb} job {job.id}: it is {_status(call, job)}."
    return invalid(message, "fine_tune_id", f"cannot_{verb}")
