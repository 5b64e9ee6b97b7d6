"""A fake of DashScope's files and fine-tunes: judged by the vendor's own SDK, in its old and its new client.

Honest about what is uncomfortable there: failed uploads with status 200, a missing file with status 400, times
without a zone, hyperparameters that come back as texts, numbered pages that shift, and no way to tell two equal jobs
apart but their files.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from fake_dashscope_deployments import FakeDashScopeDeployments
from fake_world import FakeFile, FakeJob, FakeRequest, FakeWorld, FaultGate, Refused, Reply
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.routing import Route

MODELS = ("qwen3-14b", "qwen3-32b")
JOB_STATES = {
    "pending": "PENDING",
    "running": "RUNNING",
    "odd": "reviewing",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "cancelled": "CANCELED",
}
CODES = {
    "unauthenticated": (401, "InvalidApiKey"),
    "insufficient_quota": (400, "Arrearage"),
    "permission_denied": (403, "AccessDenied"),
    "rate_limit": (429, "Throttling.RateQuota"),
    "internal": (500, "InternalError"),
}
"""Status and code of the faults that all fakes share."""
KNOWN = {
    "model", "training_file_ids", "validation_file_ids", "training_type", "hyper_parameters", "model_name",
    "job_name", "finetuned_output_suffix",
}  # fmt: skip
TRAINING_TYPES = {"sft", "efficient_sft"}
MAX_SUFFIX = 8
MAX_RUNNING = 3  # of the account `small`
SITE_ZONE = timedelta(hours=8)  # which no answer shows


def create_dashscope(
    clock: Callable[[], float], training_seconds: float = 1.0, *, refuses_names: bool = False
) -> tuple[Starlette, FakeWorld]:
    """The fake and its world. `refuses_names`: a server that knows no name of a job and no suffix."""
    world = FakeWorld(_error, clock, 0.0, training_seconds)
    known = KNOWN - ({"finetuned_output_suffix", "job_name"} if refuses_names else set())

    async def create_job(ask: FakeRequest) -> Reply:
        return await _create_job(ask, known)

    routes = [
        ("POST", "/files", "files.create", upload),
        ("GET", "/files", "files.list", list_files),
        ("GET", "/files/{file_id}", "files.retrieve", get_file),
        ("DELETE", "/files/{file_id}", "files.delete", delete_file),
        ("GET", "/models", "models.retrieve", list_models),
        ("POST", "/fine-tunes", "jobs.create", create_job),
        ("GET", "/fine-tunes", "jobs.list", list_jobs),
        ("GET", "/fine-tunes/{job_id}", "jobs.retrieve", get_job),
        ("POST", "/fine-tunes/{job_id}/cancel", "jobs.cancel", cancel_job),
        ("DELETE", "/fine-tunes/{job_id}", "jobs.cancel", delete_job),
        ("GET", "/fine-tunes/{job_id}/logs", "jobs.events", get_logs),
    ]
    deployments = FakeDashScopeDeployments(world, tuned_model)
    whole = [(method, "/api/v1" + path, operation, handler) for method, path, operation, handler in routes]
    gates = [
        Route(path, FaultGate(world, operation, handler), methods=[method])
        for method, path, operation, handler in [*whole, *deployments.routes()]
    ]
    app = Starlette(routes=gates)
    app.router.redirect_slashes = False
    app.state.deployments = deployments
    return app, world


async def upload(ask: FakeRequest) -> Reply:
    """Files are refused one by one, with status 200."""
    uploaded, failed = [], []
    async with ask.request.form() as form:
        if form.get("purpose", "fine-tune") != "fine-tune":
            raise Refused(400, f"purpose {form['purpose']}", "InvalidParameter")
        for part in form.getlist("files"):
            assert isinstance(part, UploadFile)
            name, content = part.filename or "", await part.read()
            if "reject_file" in ask.fate:
                message = ask.fate["reject_file"].message or "Out of number, <100> of <100> files has been uploaded."
                failed.append({"name": name, "code": "BadRequest.TooMany", "message": message})
                continue
            file = FakeFile(str(uuid4()), name, ask.now, ask.fate, content)
            ask.account.files[file.id] = file
            uploaded.append({"file_id": file.id, "name": name})
    return _answer(ask, data={"uploaded_files": uploaded, "failed_uploads": failed})


async def list_files(ask: FakeRequest) -> Reply:
    files = [_file(file) for file in reversed(ask.visible_objects(list(ask.account.files.values())))]
    return _answer(ask, data=_page(ask, "files", files))


async def get_file(ask: FakeRequest) -> Reply:
    return _answer(ask, data=_file(_find_file(ask, ask.path("file_id"))))


async def delete_file(ask: FakeRequest) -> Reply:
    del ask.account.files[_find_file(ask, ask.path("file_id")).id]
    return _answer(ask, data={})


async def list_models(ask: FakeRequest) -> Reply:
    wanted = ask.request.query_params.get("model")
    models = [{"model": model, "provider": "qwen"} for model in MODELS if wanted in (None, model)]
    return _answer(ask, output=_page(ask, "models", models))


async def _create_job(ask: FakeRequest, known: set[str]) -> Reply:
    body = await ask.request.json()
    _check(ask, body, known)
    running = [job for job in ask.account.jobs.values() if job.state(ask.now) in {"pending", "running"}]
    if ask.name == "small" and len(running) >= MAX_RUNNING:
        raise Refused(429, "Too many fine-tune job in running, please retry later.", "Throttling")
    stamp = datetime.fromtimestamp(ask.now, UTC) + SITE_ZONE
    job = ask.new_job(f"ft-{stamp:%Y%m%d%H%M}-{uuid4().hex[:4]}{len(ask.account.jobs)}", body)
    return _answer(ask, output=_job(ask, job))


async def list_jobs(ask: FakeRequest) -> Reply:
    """The newest first, so that a new job moves all others to later places."""
    jobs = [job for job in ask.visible_objects(list(ask.account.jobs.values())) if not job.gone(ask.now)]
    return _answer(ask, output=_page(ask, "jobs", [_job(ask, job) for job in reversed(jobs)]))


async def get_job(ask: FakeRequest) -> Reply:
    return _answer(ask, output=_job(ask, ask.job(ask.path("job_id"))))


async def cancel_job(ask: FakeRequest) -> Reply:
    job = ask.job(ask.path("job_id"))
    if job.state(ask.now) not in {"pending", "running"}:
        raise Refused(400, "The fine-tune job can not be canceled.", "UnsupportedOperation")
    job.cancelled_at = ask.now
    return _answer(ask, output={"status": "success"})


async def delete_job(ask: FakeRequest) -> Reply:
    job = ask.job(ask.path("job_id"))
    if job.state(ask.now) in {"pending", "running"}:
        raise Refused(400, "The fine-tune job is running.", "UnsupportedOperation")
    del ask.account.jobs[job.id]
    return _answer(ask, output={"status": "success"})


async def get_logs(ask: FakeRequest) -> Reply:
    """Messages and records, a page of them: at most 1000 lines, as the documentation says."""
    job = ask.job(ask.path("job_id"))
    lines = [f"{_local_time(job.created_at)} - INFO - job {job.id} is queued", "the training file is loaded"]
    total = int(job.seconds)
    for step in range(1, min(total, int(ask.now - job.created_at)) + 1):
        lines.append(
            f"{{'loss': {2 / step:.4f}, 'grad_norm': 1.5, 'learning_rate': 9e-06, 'epoch': {step / total:.2f}}}"
        )
        lines += [f"{{'eval_loss': {2.5 / step:.4f}, 'epoch': {step / total:.2f}}}"] if step % 5 == 0 else []
    if job.state(ask.now) == "succeeded":
        lines += ["{'train_runtime': 216.3, 'train_loss': 0.91, 'epoch': 1.0}", " Fine-tune succeeded!"]
    query = ask.request.query_params
    start, count = int(query.get("offset", 0)), min(int(query.get("line", 100)), 1000)
    return _answer(ask, output={"logs": lines[start : start + count], "total": len(lines)})


def _answer(ask: FakeRequest, **content: Any) -> Reply:
    """An answer in its envelope. The account `odd` gets failures with status 200."""
    request_id = str(uuid4())
    if ask.name == "odd":
        return Reply({"request_id": request_id, "code": "InternalError.Timeout", "message": "an internal error"})
    return Reply({"request_id": request_id, **content})


def _error(refused: Refused) -> dict[str, Any]:
    """The error in DashScope's words. It also corrects the status, which is not the other providers'."""
    refused.status, code = CODES.get(refused.code, (refused.status, refused.code))
    code = {"not_found": "NotFound"}.get(code, code)
    return {"request_id": str(uuid4()), "code": code, "message": refused.message}


def _page(ask: FakeRequest, name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    query = ask.request.query_params
    number, size = int(query.get("page_no", 1)), min(int(query.get("page_size", 10)), 100)
    if "page_size" in ask.faults:
        size = min(size, ask.faults["page_size"].size)
    if "stuck_cursor" in ask.faults:
        return {"page_no": 1, "page_size": size, "total": len(items) + 1000, name: items[:size]}
    shown = items[(number - 1) * size : number * size]
    return {"page_no": number, "page_size": size, "total": len(items), name: shown}


def _find_file(ask: FakeRequest, file_id: str) -> FakeFile:
    if file_id not in ask.account.files:
        raise Refused(400, "File not found.", "InvalidParameter")
    return ask.account.files[file_id]


def _check(ask: FakeRequest, body: dict[str, Any], known: set[str]) -> None:
    if unknown := body.keys() - known:
        raise Refused(400, f"unknown parameter {sorted(unknown)}", "InvalidParameter")
    if body.get("model") not in MODELS:
        raise Refused(404, f"Model {body.get('model')} not exist.", "ModelNotFound")
    if body.get("training_type", "sft") not in TRAINING_TYPES:
        raise Refused(400, f"training_type {body['training_type']}", "InvalidParameter")
    if len(body.get("finetuned_output_suffix", "")) > MAX_SUFFIX:
        raise Refused(400, "the suffix is too long", "InvalidParameter")
    for file_id in (*body["training_file_ids"], *(body.get("validation_file_ids") or ())):
        _find_file(ask, file_id)


def _file(file: FakeFile) -> dict[str, Any]:
    return {
        "file_id": file.id,
        "name": file.filename,
        "description": "",
        "size": len(file.content or b""),
        "gmt_create": _local_time(file.created_at),
    }


def _job(ask: FakeRequest, job: FakeJob) -> dict[str, Any]:
    body, state = job.body, job.state(ask.now)
    shown = {
        "job_id": job.id,
        "job_name": body.get("job_name", job.id),
        "status": JOB_STATES[state],
        "model": body["model"],
        "base_model": body["model"],
        "training_file_ids": body["training_file_ids"],
        "validation_file_ids": body.get("validation_file_ids") or [],
        "hyper_parameters": {name: str(value) for name, value in (body.get("hyper_parameters") or {}).items()},
        "training_type": body.get("training_type", "sft"),
        "create_time": _local_time(job.created_at),
        "user_identity": "1654290265984853",
        "modifier": "1654290265984853",
        "creator": "1654290265984853",
        "group": "llm",
        "workspace_id": ask.request.headers.get("x-dashscope-workspace", "llm-default"),
    }
    if job.shows_model(ask.now):
        shown |= {
            "finetuned_output": tuned_model(job),
            "usage": 1200,
            "end_time": _local_time(job.created_at + job.seconds),
        }
    if state == "cancelled":
        shown |= {"usage": {"total_tokens": 300}}
    if state == "failed":
        shown |= {"code": "InternalError.Algo", "message": job.fate["fail_job"].message or "CUDA out of memory"}
    return shown


def tuned_model(job: FakeJob) -> str:
    """The name of the model that a job makes."""
    body = job.body
    return body.get("model_name") or f"{body['model']}-{body.get('finetuned_output_suffix', '')}-{job.id}"


def _local_time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC) + SITE_ZONE:%Y-%m-%d %H:%M:%S}"
