"""A fake of Fireworks' datasets and supervised fine-tuning jobs: judged by its own SDK."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fake_fireworks_deployments import FireworksDeployments
from fake_world import FakeFile, FakeJob, FakeRequest, FakeWorld, FaultGate, Refused, Reply, form_of
from starlette.applications import Starlette
from starlette.routing import Route

JOB_STATES = {
    "pending": "JOB_STATE_PENDING",
    "running": "JOB_STATE_RUNNING",
    "odd": "JOB_STATE_POLISHING",
    "succeeded": "JOB_STATE_COMPLETED",
    "failed": "JOB_STATE_FAILED",
    "cancelled": "JOB_STATE_CANCELLED",
}
GRPC = {400: 3, 401: 16, 402: 9, 403: 7, 404: 5, 409: 6, 429: 8, 500: 13}
MODELS = ("accounts/fireworks/models/llama-v3p1-8b-instruct", "accounts/fireworks/models/retiring")
LAST_DAYS = {MODELS[1]: {"year": 2027, "month": 3, "day": 1}}
DIRECT_LIMIT = 150_000_000
ACCOUNT = "/v1/accounts/{account}"
DATASET = ACCOUNT + "/datasets/{dataset}"
JOBS = ACCOUNT + "/supervisedFineTuningJobs"
DPO = ACCOUNT + "/dpoJobs"


def create_fireworks(
    clock: Callable[[], float], file_seconds: float = 0.2, training_seconds: float = 1.0
) -> tuple[Starlette, FakeWorld]:
    """The fake and its world. Key `sandbox-NAME` is account `org-NAME`."""
    world = FakeWorld(_error, clock, file_seconds, training_seconds)
    routes = [
        ("GET", ACCOUNT, "models.list", get_account),
        ("GET", "/v1/accounts/fireworks/models", "models.list", list_models),
        ("GET", "/v1/accounts/fireworks/models/{model}", "models.retrieve", get_model),
        ("GET", ACCOUNT + "/models/{model}", "models.retrieve", get_tuned_model),
        ("POST", ACCOUNT + "/datasets", "files.create", create_dataset),
        ("POST", DATASET + ":upload", "files.create", upload),
        ("POST", DATASET + ":getUploadEndpoint", "files.create", upload_endpoint),
        ("PUT", "/storage/{name}/{dataset}", "", store),
        ("POST", DATASET + ":validateUpload", "files.create", validate_upload),
        ("GET", DATASET, "files.retrieve", get_dataset),
        ("DELETE", DATASET, "files.delete", delete_dataset),
        ("POST", JOBS, "jobs.create", create_job),
        ("GET", JOBS + "/{job_id}", "jobs.retrieve", get_job),
        ("POST", JOBS + "/{job_id}:cancel", "jobs.cancel", cancel_job),
        ("POST", DPO, "jobs.create", create_dpo),
        ("GET", DPO + "/{job_id}", "jobs.retrieve", get_job),
        ("POST", DPO + "/{job_id}:cancel", "jobs.cancel", cancel_job),
    ]
    gates = []
    for method, path, operation, handler in routes:
        own = _own(handler) if "{account}" in path else handler
        gates.append(Route(path, FaultGate(world, operation, own, public=not operation), methods=[method]))
    deployments = FireworksDeployments()
    app = Starlette(routes=[*deployments.routes(world, _own), *gates])
    app.state.deployments = deployments
    app.router.redirect_slashes = False
    return app, world


def _own(handler: Callable[[FakeRequest], Any]) -> Callable[[FakeRequest], Any]:
    async def guarded(ask: FakeRequest) -> Reply:
        if ask.path("account") != f"org-{ask.name}":
            raise Refused(403, "the key is of another account", "permission_denied")
        reply: Reply = await handler(ask)
        return reply

    return guarded


async def get_account(ask: FakeRequest) -> Reply:
    name = f"accounts/org-{ask.name}"
    suspended = "CREDIT_DEPLETED" if ask.name == "poor" else "UNSUSPENDED"
    return Reply({"name": name, "email": "a@example.org", "state": "READY", "suspendState": suspended})


async def list_models(ask: FakeRequest) -> Reply:
    """One a page."""
    assert ask.request.query_params["filter"] == "tunable=true"
    at = int(ask.request.query_params.get("pageToken") or 0)
    more = {"nextPageToken": str(at + 1)} if at + 1 < len(MODELS) else {}
    return Reply({"models": [{"name": MODELS[at], "tunable": True}], **more})


async def get_model(ask: FakeRequest) -> Reply:
    name = f"accounts/fireworks/models/{ask.path('model')}"
    if name not in MODELS:
        raise Refused(404, f"no model {name}", "not_found")
    last_day = {"deprecationDate": LAST_DAYS[name]} if name in LAST_DAYS else {}
    return Reply({"name": name, "tunable": True, **last_day})


async def get_tuned_model(ask: FakeRequest) -> Reply:
    name = f"accounts/org-{ask.name}/models/{ask.path('model')}"
    made = [job for job in ask.account.jobs.values() if job.body.get("outputModel") == name]
    if not any(job.state(ask.now) == "succeeded" for job in made):
        raise Refused(404, f"no model {name}", "not_found")
    return Reply({"name": name, "kind": "HF_PEFT_ADDON", "state": "READY"})


async def create_dataset(ask: FakeRequest) -> Reply:
    body = await ask.request.json()
    name = body["datasetId"]
    if not name[0].isalpha() or "userUploaded" not in body["dataset"]:
        raise Refused(400, "not a dataset id", "invalid_argument")
    if name in ask.account.files:
        raise Refused(409, f"dataset {name} exists", "already_exists")
    file = FakeFile(name, str(body["dataset"].get("exampleCount", "")), ask.now, ask.fate)
    ask.account.files[name] = file
    return Reply(_dataset(ask, file))


async def upload(ask: FakeRequest) -> Reply:
    file = ask.file(ask.path("dataset"))
    _, content = await form_of(ask)
    if content is None or len(content) > DIRECT_LIMIT:
        raise Refused(400, "no file, or too large for a direct upload", "invalid_argument")
    _fill(ask, file, content)
    return Reply({"filename": "x.jsonl", "bytes": len(content)})


async def upload_endpoint(ask: FakeRequest) -> Reply:
    sizes = (await ask.request.json())["filenameToSize"]
    file = ask.file(ask.path("dataset"))
    base = str(ask.request.base_url)
    urls = {name: f"{base}storage/{ask.name}/{file.id}?size={size}" for name, size in sizes.items()}
    return Reply({"filenameToSignedUrls": urls})


async def store(ask: FakeRequest) -> Reply:
    if "authorization" in ask.request.headers:
        raise Refused(400, "storage must not see the key", "invalid_argument")
    content = await ask.request.body()
    if len(content) != int(ask.request.query_params["size"]):
        raise Refused(400, "not the size that was signed", "invalid_argument")
    file = ask.world.account(ask.path("name")).files[ask.path("dataset")]
    file.content, file.submitted = content, False
    return Reply()


async def validate_upload(ask: FakeRequest) -> Reply:
    file = ask.file(ask.path("dataset"))
    if file.content is None:
        raise Refused(400, "nothing was uploaded", "failed_precondition")
    _fill(ask, file, file.content)
    return Reply({})


async def get_dataset(ask: FakeRequest) -> Reply:
    return Reply(_dataset(ask, ask.file(ask.path("dataset"))))


async def delete_dataset(ask: FakeRequest) -> Reply:
    del ask.account.files[ask.file(ask.path("dataset")).id]
    return Reply({})


async def create_job(ask: FakeRequest) -> Reply:
    body = await ask.request.json()
    return _created(ask, ask.request.query_params["supervisedFineTuningJobId"], body, body)


async def create_dpo(ask: FakeRequest) -> Reply:
    body = await ask.request.json()
    if unknown := body.keys() - {"dataset", "displayName", "trainingConfig", "lossConfig"}:
        raise Refused(400, f"unknown {sorted(unknown)}", "invalid_argument")
    return _created(ask, ask.request.query_params["dpoJobId"], body, body["trainingConfig"])


def _created(ask: FakeRequest, name: str, body: dict[str, Any], training: dict[str, Any]) -> Reply:
    if not name[0].isalpha() or len(body.get("displayName", "")) > 60:
        raise Refused(400, "not a job id or display name", "invalid_argument")
    if name in ask.account.jobs:
        raise Refused(409, f"job {name} exists", "already_exists")
    if training.get("baseModel") not in MODELS:
        raise Refused(400, f"model {training.get('baseModel')} is not tunable", "invalid_argument")
    dataset = body["dataset"].removeprefix(f"accounts/org-{ask.name}/datasets/")
    if ask.file(dataset).state(ask.now, ask.world.file_seconds) != "ready":
        raise Refused(400, "the dataset is not READY", "failed_precondition")
    return Reply(_job(ask, ask.new_job(name, body)))


async def get_job(ask: FakeRequest) -> Reply:
    return Reply(_job(ask, ask.job(ask.path("job_id"))))


async def cancel_job(ask: FakeRequest) -> Reply:
    job = ask.job(ask.path("job_id"))
    if job.state(ask.now) not in {"pending", "running"}:
        raise Refused(400, "the job has ended", "failed_precondition")
    job.cancelled_at = ask.now
    return Reply({})


def _error(refused: Refused) -> dict[str, Any]:
    return {"code": GRPC[refused.status], "message": refused.message, "details": []}


def _fill(ask: FakeRequest, file: FakeFile, content: bytes) -> None:
    file.content, file.created_at, file.submitted = content, ask.now, True
    file.fate |= ask.fate


def _dataset(ask: FakeRequest, file: FakeFile) -> dict[str, Any]:
    state = file.state(ask.now, ask.world.file_seconds)
    ok = {"code": "OK", "message": ""}
    bad = {"code": "INVALID_ARGUMENT", "message": "line 3 is not JSON"}
    return {
        "name": f"accounts/org-{ask.name}/datasets/{file.id}",
        "createTime": _iso(file.created_at),
        "state": "READY" if state == "ready" else "UPLOADING",
        "status": bad if state == "refused" else ok,
        "exampleCount": file.filename,
        "userUploaded": {},
    }


def _job(ask: FakeRequest, job: FakeJob) -> dict[str, Any]:
    state = job.state(ask.now)
    account = f"accounts/org-{ask.name}"
    if "trainingConfig" in job.body:
        return _dpo(job, account, state)
    shown = {
        "name": f"{account}/supervisedFineTuningJobs/{job.id}",
        "createTime": _iso(job.created_at),
        "state": JOB_STATES[state],
        "status": {"code": "OK", "message": ""},
        "epochs": 1,
        "learningRate": 0.0001,
        "loraRank": 8,
        "jobProgress": {"percent": 100 if state == "succeeded" else 10, "epoch": 0},
        "estimatedCost": {"currencyCode": "USD", "units": "1", "nanos": 500000000},
        **job.body,
    }
    if "no_model_id" in job.fate and not job.shows_model(ask.now):
        shown.pop("outputModel")
    if state == "failed":
        message = job.fate["fail_job"].message or "CUDA out of memory"
        shown["status"] = {"code": "INTERNAL", "message": message}
    return shown


def _dpo(job: FakeJob, account: str, state: str) -> dict[str, Any]:
    """Neither progress nor cost; the values are in a part of their own."""
    return {
        "name": f"{account}/dpoJobs/{job.id}",
        "createTime": _iso(job.created_at),
        "state": JOB_STATES[state],
        "status": {"code": "OK", "message": ""},
        **job.body,
        "trainingConfig": {"epochs": 1, "learningRate": 0.0001, "loraRank": 8, **job.body["trainingConfig"]},
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
