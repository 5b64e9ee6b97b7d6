"""A fake of Together's files and fine-tuning API: judged by its published document and by its own SDK."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from fake_together_deployments import FakeTogetherDeployments, model_object_id
from fake_world import FakeFile, FakeJob, FakeRequest, FakeWorld, FaultGate, Refused, Reply, form_of
from starlette.applications import Starlette
from starlette.routing import Route

FILE_STATES = {"waiting": "PENDING", "checking": "RUNNING", "refused": "INVALID_FORMAT", "ready": "COMPLETED"}
JOB_STATES = {
    "pending": "pending",
    "running": "running",
    "odd": "reviewing",
    "succeeded": "completed",
    "failed": "error",
    "cancelled": "cancelled",
}
KNOWN = {
    "training_file", "validation_file", "packing", "max_seq_length", "gradient_accumulation_steps", "model",
    "n_epochs", "n_checkpoints", "n_evals", "batch_size", "learning_rate", "lr_scheduler", "warmup_ratio",
    "max_grad_norm", "weight_decay", "random_seed", "suffix", "training_method", "training_type",
    "early_stopping_enabled",
}  # fmt: skip
SUFFIX_LIMIT = 40
MODELS = ("meta-llama/Meta-Llama-3.1-8B-Instruct-Reference", "google/gemma-3-27b-it")
LORA = {"type": "Lora", "lora_r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "lora_trainable_modules": "all-linear"}


def create_together(
    clock: Callable[[], float], file_seconds: float = 0.2, training_seconds: float = 1.0
) -> tuple[Starlette, FakeWorld]:
    """The fake and its world."""
    world = FakeWorld(_error, clock, file_seconds, training_seconds)
    routes = [
        ("GET", "/v3/whoami", "models.list", whoami),
        ("POST", "/v1/files", "files.create", begin_upload),
        ("PUT", "/storage/{account}/{file_id}", "", store),
        ("POST", "/v1/files/upload", "files.create", upload),
        ("POST", "/v1/files/{file_id}/preprocess", "files.create", preprocess),
        ("GET", "/v1/files", "files.list", list_files),
        ("GET", "/v1/files/{file_id}", "files.retrieve", get_file),
        ("DELETE", "/v1/files/{file_id}", "files.delete", delete_file),
        ("GET", "/v1/fine-tunes/models/supported", "models.list", supported),
        ("GET", "/v1/fine-tunes/models/limits", "models.retrieve", limits),
        ("POST", "/v1/fine-tunes/estimate-price", "models.retrieve", estimate),
        ("POST", "/v1/fine-tunes", "jobs.create", create_job),
        ("GET", "/v1/fine-tunes", "jobs.list", list_jobs),
        ("GET", "/v1/fine-tunes/{job_id}", "jobs.retrieve", get_job),
        ("POST", "/v1/fine-tunes/{job_id}/cancel", "jobs.cancel", cancel_job),
        ("GET", "/v1/fine-tunes/{job_id}/events", "jobs.events", list_events),
        ("GET", "/v1/fine-tunes/{job_id}/metrics", "jobs.events", list_metrics),
        ("GET", "/v1/fine-tunes/{job_id}/checkpoints", "jobs.checkpoints", list_checkpoints),
    ]
    deployments = FakeTogetherDeployments(world)
    gates = [
        Route(path, FaultGate(world, operation, handler, public=not operation), methods=[method])
        for method, path, operation, handler in [*routes, *deployments.routes()]
    ]
    app = Starlette(routes=gates)
    app.router.redirect_slashes = False
    app.state.deployments = deployments
    return app, world


async def whoami(ask: FakeRequest) -> Reply:
    return Reply(
        {
            "type": "project_api_key",
            "api_key": {"id": "key-1"},
            "organization": {"id": f"org-{ask.name}", "name": ask.name},
            "project": {"id": f"proj_{ask.name}", "name": "default", "slug": f"{ask.name}-project"},
        }
    )


async def begin_upload(ask: FakeRequest) -> Reply:
    fields, _ = await form_of(ask)
    if fields.get("file_type") != "jsonl" or fields.get("purpose") != "fine-tune":
        raise Refused(400, f"unexpected form {fields}", "invalid_request")
    _refuse_known(ask, fields["checksum"])
    file = _new_file(ask, fields["file_name"])
    file.checksum = fields["checksum"]
    base = str(ask.request.base_url)
    headers = {"location": f"{base}storage/{ask.name}/{file.id}?signature=x", "x-together-file-id": file.id}
    return Reply(None, 302, headers)


async def store(ask: FakeRequest) -> Reply:
    if "authorization" in ask.request.headers:
        raise Refused(400, "storage must not see the key", "invalid_request")
    file = ask.world.account(ask.path("account")).files[ask.path("file_id")]
    content = await ask.request.body()
    file.content, file.submitted = content, False
    if file.sha256 != file.checksum:
        file.content = None
        raise Refused(400, "the checksum does not fit", "invalid_request")
    return Reply()


async def upload(ask: FakeRequest) -> Reply:
    fields, content = await form_of(ask)
    file = FakeFile(f"file-{uuid4()}", fields["file_name"], ask.now, ask.fate, content)
    _refuse_known(ask, file.sha256)
    ask.account.files[file.id] = file
    return Reply(_file(ask, file))


async def preprocess(ask: FakeRequest) -> Reply:
    file = ask.file(ask.path("file_id"))
    if not file.submitted:
        file.created_at, file.submitted = ask.now, True
    return Reply(_file(ask, file))


async def list_files(ask: FakeRequest) -> Reply:
    return Reply({"data": [_file(ask, file) for file in ask.visible_objects(list(ask.account.files.values()))]})


async def get_file(ask: FakeRequest) -> Reply:
    return Reply(_file(ask, ask.file(ask.path("file_id"))))


async def delete_file(ask: FakeRequest) -> Reply:
    file = ask.file(ask.path("file_id"))
    del ask.account.files[file.id]
    return Reply({"id": file.id, "deleted": True})


async def supported(ask: FakeRequest) -> Reply:
    return Reply({"models": [*MODELS]})


async def limits(ask: FakeRequest) -> Reply:
    if ask.request.query_params["model_name"] not in MODELS:
        raise Refused(404, "no such model", "not_found")
    training = {"max_batch_size": 64, "max_batch_size_dpo": 32, "min_batch_size": 1}
    lora = {"max_rank": 64, "target_modules": ["all-linear"], "default_rank": 8}
    return Reply(
        {
            "model_name": ask.request.query_params["model_name"],
            "full_training": training,
            "lora_training": training | lora,
            "max_num_epochs": 20,
            "max_num_evals": 10,
            "max_num_checkpoints": 10,
            "max_learning_rate": 1.0,
            "min_learning_rate": 0.0,
            "min_max_seq_length": 128,
            "max_seq_length_sft": 8192,
            "max_seq_length_dpo": 8192,
            "default_gradient_accumulation_steps": 1,
            "supports_vision": False,
            "supports_tools": True,
            "supports_reasoning": False,
            "supports_full_training": True,
            "merge_output_lora": True,
        }
    )


async def estimate(ask: FakeRequest) -> Reply:
    """Account `poor` may not go on; for account `unestimated` there is no estimate."""
    if ask.name == "unestimated":
        raise Refused(400, "no estimate", "invalid_request")
    return Reply(
        {
            "estimation_available": True,
            "estimated_total_price": 1.5,
            "allowed_to_proceed": ask.name != "poor",
            "user_limit": 1.0 if ask.name == "poor" else 100.0,
            "estimated_train_token_count": 1000,
            "estimated_eval_token_count": 0,
        }
    )


async def create_job(ask: FakeRequest) -> Reply:
    body = await ask.request.json()
    _check(ask, body)
    return Reply(_job(ask, ask.new_job(f"ft-{uuid4()}", body)))


async def list_jobs(ask: FakeRequest) -> Reply:
    jobs = [job for job in ask.visible_objects(list(ask.account.jobs.values())) if not job.gone(ask.now)]
    return Reply({"data": [_job(ask, job) for job in reversed(jobs)]})


async def get_job(ask: FakeRequest) -> Reply:
    """Only here, and not in the list, is the object of the model."""
    job = ask.job(ask.path("job_id"))
    made = {"model_object_id": model_object_id(job), "model_object_revision_id": "rv_1"}
    return Reply(_job(ask, job) | {"events": _events(ask, job)} | (made if job.shows_model(ask.now) else {}))


async def cancel_job(ask: FakeRequest) -> Reply:
    job = ask.job(ask.path("job_id"))
    if job.state(ask.now) not in {"pending", "running"}:
        raise Refused(400, "the job is not running", "invalid_request")
    job.cancelled_at = ask.now
    return Reply(_job(ask, job))


async def list_events(ask: FakeRequest) -> Reply:
    return Reply({"data": _events(ask, ask.job(ask.path("job_id")))})


async def list_metrics(ask: FakeRequest) -> Reply:
    """A step every 2 % of the training, an evaluation at every fifth of them where there is a validation file."""
    job, since = ask.job(ask.path("job_id")), int(ask.request.query_params.get("global_step_from", 0))
    done = 50 * min(1.0, max(0.0, (ask.now - job.created_at) / job.seconds)) if job.state(ask.now) != "failed" else 0
    rows: list[dict[str, float]] = []
    for step in range(max(1, since), int(done) + 1):
        loss = round(0.4 + 2 / step, 4)
        rows.append({"train/global_step": step, "train/loss": loss, "train/epoch": step / 50})
        if job.body.get("validation_file") and step % 5 == 0:
            rows.append({"train/global_step": step, "eval/loss": round(loss + 0.1, 4)})
    return Reply({"metrics": rows})


def _error(refused: Refused) -> dict[str, Any]:
    body: dict[str, Any] = {
        "error": {"message": refused.message, "type": "invalid_request_error", "param": None, "code": refused.code}
    }
    return body | ({"file_id": refused.code} if refused.status == 409 else {})


def _new_file(ask: FakeRequest, name: str) -> FakeFile:
    file = FakeFile(f"file-{uuid4()}", name, ask.now, ask.fate)
    ask.account.files[file.id] = file
    return file


def _refuse_known(ask: FakeRequest, checksum: str) -> None:
    for file in ask.account.files.values():
        if file.content is not None and file.sha256 == checksum:
            raise Refused(409, "a file with this checksum exists", file.id)


def _check(ask: FakeRequest, body: dict[str, Any]) -> None:
    if unknown := body.keys() - KNOWN:
        raise Refused(400, f"unknown {sorted(unknown)}", "invalid_request")
    if body.get("model") not in MODELS:
        raise Refused(400, f"model {body.get('model')} cannot be fine-tuned", "invalid_request")
    if len(body.get("suffix") or "") > SUFFIX_LIMIT:
        raise Refused(400, "the suffix is too long", "invalid_request")
    if ask.file(body["training_file"]).state(ask.now, ask.world.file_seconds) != "ready":
        raise Refused(400, "the training file is not ready", "invalid_request")


def _file(ask: FakeRequest, file: FakeFile) -> dict[str, Any]:
    state = file.state(ask.now, ask.world.file_seconds)
    body = {
        "id": file.id,
        "object": "file",
        "created_at": int(file.created_at),
        "filename": file.filename,
        "bytes": len(file.content or b""),
        "purpose": "fine-tune",
        "Processed": state == "ready",
        "FileType": "jsonl",
        "processing_status": FILE_STATES[state],
    }
    if state == "refused":
        message = file.fate["reject_file"].message or "line 3 is not JSON"
        body["validation_report"] = {"valid": False, "error_type": "INVALID_FORMAT", "error": message}
    return body


def _job(ask: FakeRequest, job: FakeJob) -> dict[str, Any]:
    body, state = job.body, job.state(ask.now)
    suffix = body.get("suffix")
    shown = {
        "id": job.id,
        "status": JOB_STATES[state],
        "user_id": ask.name,
        "created_at": _iso(job.created_at),
        "updated_at": _iso(job.created_at),
        "training_file": body["training_file"],
        "model": body["model"],
        "n_epochs": body.get("n_epochs", 1),
        "batch_size": 8 if body.get("batch_size", "max") == "max" else body["batch_size"],
        "learning_rate": body.get("learning_rate", 1e-05),
        "random_seed": body.get("random_seed"),
        "training_method": body.get("training_method", {"method": "sft", "train_on_inputs": "auto"}),
        "training_type": body.get("training_type") or LORA,
        "token_count": 1200 if state == "succeeded" else 0,
        "total_price": 2,
    }
    if body.get("validation_file"):
        shown["validation_file"] = body["validation_file"]
    if suffix:
        shown["suffix"] = suffix
    if job.shows_model(ask.now):
        shown["model_output_name"] = f"{ask.name}/{body['model'].split('/')[-1]}-{suffix or 'ft'}-{job.id[3:11]}"
    return shown


async def list_checkpoints(ask: FakeRequest) -> Reply:
    """As many as were asked for, evenly over the training: one if none were."""
    job = ask.job(ask.path("job_id"))
    count = int(job.body.get("n_checkpoints", 1)) if job.state(ask.now) == "succeeded" else 0
    object_id = f"ml_{job.id[3:15].replace('-', '')}"
    return Reply(
        {
            "data": [
                {
                    "step": 50 * number // count,
                    "checkpoint_type": "Final" if number == count else "Intermediate",
                    "checkpoint": "model",
                    "object_id": object_id,
                    "object_name": f"{ask.name}/{object_id}",
                    "object_revision_id": f"rv_{number}",
                    "path": f"s3://checkpoints/{number}",
                    "created_at": _iso(ask.now),
                }
                for number in range(1, count + 1)
            ]
        }
    )


def _events(ask: FakeRequest, job: FakeJob) -> list[dict[str, Any]]:
    told = [("job_pending", "info", "Job is pending")]
    state = job.state(ask.now)
    if state != "pending":
        told.append(("job_start", "info", "Job started"))
    if state == "failed":
        told.append(("job_error", "error", job.fate["fail_job"].message or "CUDA out of memory"))
    if state == "succeeded":
        told.append(("job_complete", "info", "Job finished"))
    empty = {"param_count": 0, "token_count": 0, "total_steps": 0, "step": 0, "training_offset": 0}
    words = {"wandb_url": "", "checkpoint_path": "", "model_path": "", "hash": ""}
    return [
        {"object": "fine-tune-event", "created_at": _iso(job.created_at + n), "level": level, "message": message,
         "type": kind, **empty, **words}
        for n, (kind, level, message) in enumerate(told)
    ]  # fmt: skip


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
