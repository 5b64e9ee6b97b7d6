"""A fake of Vertex AI's supervised tuning, with the bucket that it reads: judged by the vendor's own SDK.

Honest about what is uncomfortable there: names with the number of the project, counts as texts, keys that are left
out with their default values, labels without capitals, a quota that lets a job wait or refuses it, and no way to tell
a repeated create from a second one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fake_gcs import FakeStorage, google_error
from fake_world import FakeJob, FakeRequest, FakeWorld, FaultGate, Refused, Reply
from starlette.applications import Starlette
from starlette.routing import Route

MODELS = ("gemini-2.5-flash", "gemini-2.5-pro")
REGION = "us-central1"
PLACE = "/v1/projects/{project}/locations/{region}"
JOBS = PLACE + "/tuningJobs"
STATES = {
    "pending": "PENDING",
    "running": "RUNNING",
    "odd": "POLISHING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "cancelled": "CANCELLED",
}
DETAILS = {"pending": "WAITING_FOR_QUOTA", "running": "TUNING"}
KNOWN = {"baseModel", "supervisedTuningSpec", "tunedModelDisplayName", "labels", "description"}
KNOWN_TUNING = {"trainingDatasetUri", "validationDatasetUri", "hyperParameters", "exportLastCheckpointOnly"}
KNOWN_PARAMETERS = {"epochCount", "learningRateMultiplier", "adapterSize"}
LABEL = re.compile(r"[a-z0-9_-]{0,63}")


class FakeVertex:
    """What a test changes: whether a filter by label is understood, and how many jobs an account may have."""

    def __init__(self, world: FakeWorld, *, reads_lines: bool) -> None:
        self.world = world
        self.storage = FakeStorage()
        self.reads_lines = reads_lines
        self.knows_filter = True
        self.keeps_labels = True
        self.calls_per_token: dict[str, int] = {}  # after so many a token is dead
        self.max_jobs = 1000

    def routes(self) -> list[Route]:
        handlers: list[tuple[str, str, str, Any]] = [
            ("GET", PLACE, "models.list", self.get_place),
            ("GET", "/v1/publishers/google/models/{model:path}", "models.retrieve", self.get_model),
            ("GET", PLACE + "/endpoints/{endpoint}", "models.retrieve", self.get_endpoint),
            ("POST", PLACE + "/endpoints/{endpoint}:generateContent", "deployments.call", self.generate_content),
            ("POST", JOBS, "jobs.create", self.create_job),
            ("GET", JOBS, "jobs.list", self.list_jobs),
            ("GET", JOBS + "/{job_id}", "jobs.retrieve", self.get_job),
            ("POST", JOBS + "/{job_id}:cancel", "jobs.cancel", self.cancel_job),
        ]
        own = [
            Route(path, FaultGate(self.world, operation, self._own(handler)), methods=[method])
            for method, path, operation, handler in handlers
        ]
        return [*own, *self.storage.routes(self.world)]

    def _own(self, handler: Callable[[FakeRequest], Any]) -> Callable[[FakeRequest], Any]:
        async def guarded(ask: FakeRequest) -> Reply:
            left = self.calls_per_token.get(ask.name)
            if left is not None:
                self.calls_per_token[ask.name] = left - 1
                if left <= 0:
                    raise Refused(401, "Request had invalid authentication credentials.", "unauthenticated")
            project = ask.request.path_params.get("project")
            if project not in (None, f"proj-{ask.name}", number(ask.name)):
                raise Refused(403, f"Permission denied on resource project {project}.", "permission_denied")
            reply: Reply = await handler(ask)
            return reply

        return guarded

    async def get_place(self, ask: FakeRequest) -> Reply:
        return Reply({"name": place(ask), "locationId": ask.path("region")})

    async def get_model(self, ask: FakeRequest) -> Reply:
        if ask.path("model") not in MODELS:
            raise Refused(404, f"Publisher Model {ask.path('model')} is not found.", "not_found")
        return Reply({"name": f"publishers/google/models/{ask.path('model')}", "versionId": "default"})

    async def get_endpoint(self, ask: FakeRequest) -> Reply:
        made = {f"{int(job.id) + 1}" for job in ask.account.jobs.values() if job.state(ask.now) == "succeeded"}
        if ask.path("endpoint") not in made:
            raise Refused(404, f"The Endpoint {ask.path('endpoint')} does not exist.", "not_found")
        return Reply({"name": f"{place(ask)}/endpoints/{ask.path('endpoint')}"})

    async def generate_content(self, ask: FakeRequest) -> Reply:
        name = (await self.get_endpoint(ask)).body["name"].rpartition("/")[2]
        contents = (await ask.request.json())["contents"]
        assert all(turn["role"] in ("user", "model") for turn in contents)
        candidate = {"content": {"role": "model", "parts": [{"text": f"I am {name}."}]}, "finishReason": "STOP"}
        usage = {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}
        return Reply({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini"})

    async def create_job(self, ask: FakeRequest) -> Reply:
        body = await ask.request.json()
        check_body(body)
        open_jobs = [job for job in ask.account.jobs.values() if job.state(ask.now) in ("pending", "running")]
        if "too_many_jobs" in ask.faults or len(open_jobs) >= self.max_jobs:
            raise Refused(429, "Quota exceeded for concurrent tuning jobs per project.", "resource_exhausted")
        self._check_file(ask, body["supervisedTuningSpec"]["trainingDatasetUri"])
        job = ask.new_job(str(7_000_000_000_000_000_000 + 10 * (len(ask.account.jobs) + 1)), body)
        return Reply(self._describe(ask, job))

    async def list_jobs(self, ask: FakeRequest) -> Reply:
        query = ask.request.query_params
        if (wanted := query.get("filter")) and not self.knows_filter:
            raise Refused(400, "Unsupported field in filter: labels", "invalid_argument")
        jobs = ask.visible_objects([job for job in ask.account.jobs.values() if not job.gone(ask.now)])
        shown = [self._describe(ask, job) for job in reversed(jobs)]
        if wanted and "ignore_metadata_filter" not in ask.faults:
            found = re.fullmatch(r'labels\.(\w+)="(.*)"', wanted)
            assert found is not None
            shown = [job for job in shown if job.get("labels", {}).get(found[1]) == found[2]]
        size = ask.faults["page_size"].size if "page_size" in ask.faults else int(query.get("pageSize", 100))
        start = 0 if "stuck_cursor" in ask.faults else int(query.get("pageToken") or 0)
        page: dict[str, Any] = {"tuningJobs": shown[start : start + size]}
        if start + size < len(shown) or "stuck_cursor" in ask.faults:
            page["nextPageToken"] = str(start + size)
        return Reply({name: value for name, value in page.items() if value})

    async def get_job(self, ask: FakeRequest) -> Reply:
        return Reply(self._describe(ask, ask.job(ask.path("job_id"))))

    async def cancel_job(self, ask: FakeRequest) -> Reply:
        job = ask.job(ask.path("job_id"))
        if job.state(ask.now) not in ("pending", "running", "odd"):
            raise Refused(400, f"The job {job.id} has ended.", "failed_precondition")
        job.cancelled_at = job.cancelled_at or ask.now
        return Reply({})

    def _check_file(self, ask: FakeRequest, address: str) -> None:
        bucket, _, name = address.removeprefix("gs://").partition("/")
        if bucket != f"bucket-{ask.name}" or name not in ask.account.files:
            raise Refused(400, f"The dataset {address} cannot be read.", "invalid_argument")
        if self.reads_lines:
            for line in (ask.account.files[name].content or b"").splitlines():
                turns = json.loads(line)["contents"]
                assert [turn["role"] for turn in turns] == ["user", "model"] * (len(turns) // 2)

    def _describe(self, ask: FakeRequest, job: FakeJob) -> dict[str, Any]:
        state, body = job.state(ask.now), dict(job.body)
        if not self.keeps_labels:
            body.pop("labels", None)
        parameters = body["supervisedTuningSpec"].get("hyperParameters", {})
        if "epochCount" in parameters:
            told = {"hyperParameters": parameters | {"epochCount": str(parameters["epochCount"])}}
            body["supervisedTuningSpec"] = body["supervisedTuningSpec"] | told
        shown = {
            **body,
            "name": f"{place(ask)}/tuningJobs/{job.id}",
            "state": f"JOB_STATE_{STATES[state]}",
            "createTime": moment(job.created_at),
        }
        if state in DETAILS:
            shown["tuningJobState"] = f"TUNING_JOB_STATE_{DETAILS[state]}"
        if state in ("failed", "succeeded", "cancelled"):
            shown["endTime"] = moment(job.cancelled_at or job.created_at + job.seconds)
        if state == "failed":
            shown["error"] = {"code": 3, "message": job.fate["fail_job"].message or "internal error"}
        if job.shows_model(ask.now):
            shown |= result(ask, job)
        return shown


def check_body(body: dict[str, Any]) -> None:
    """Refuse what the API's messages do not have, as it does."""
    tuning = body.get("supervisedTuningSpec", {})
    parameters = tuning.get("hyperParameters", {})
    for values, known in ((body, KNOWN), (tuning, KNOWN_TUNING), (parameters, KNOWN_PARAMETERS)):
        for name in values.keys() - known:
            raise Refused(400, f'Invalid JSON payload received. Unknown name "{name}".', "invalid_argument")
    if body.get("baseModel") not in MODELS:
        raise Refused(400, f"Base model {body.get('baseModel')} is not supported.", "invalid_argument")
    if "trainingDatasetUri" not in tuning:
        raise Refused(400, "training_dataset_uri is required.", "invalid_argument")
    for text in (part for pair in body.get("labels", {}).items() for part in pair):
        if not LABEL.fullmatch(text):
            raise Refused(400, f"The label {text!r} is invalid.", "invalid_argument")
    if len(body.get("tunedModelDisplayName", "")) > 128:
        raise Refused(400, "The display name is too long.", "invalid_argument")


def result(ask: FakeRequest, job: FakeJob) -> dict[str, Any]:
    """The model with its endpoints, and the statistics, whose counts are texts."""
    endpoint = f"{place(ask)}/endpoints/{int(job.id) + 1}"
    statistics = {
        "tuningDatasetExampleCount": "12",
        "totalBillableTokenCount": "345",
        "tuningStepCount": "6",
        "totalTruncatedExampleCount": "2",
        "truncatedExampleIndices": ["3", "7"],
        "droppedExampleReasons": ["The example is empty."],
    }
    return {
        "tunedModel": {
            "model": f"{place(ask)}/models/{job.id}@1",
            "endpoint": endpoint,
            "checkpoints": [{"checkpointId": "1", "epoch": "1", "step": "6", "endpoint": endpoint}],
        },
        "tuningDataStats": {"supervisedTuningDataStats": statistics},
    }


def number(name: str) -> str:
    """The number of an account's project."""
    return str(1_000_000 + sum(name.encode()))


def place(ask: FakeRequest) -> str:
    return f"projects/{number(ask.name)}/locations/{ask.request.path_params.get('region', REGION)}"


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def create_vertex(
    clock: Callable[[], float], training_seconds: float = 1.0, *, reads_lines: bool = True
) -> tuple[Starlette, FakeWorld]:
    """The fake, as `app.state.vertex`, and its world. Key `sandbox-NAME` owns `proj-NAME` and `bucket-NAME`.

    `reads_lines`: training files must have the lines of Gemini.
    """
    world = FakeWorld(google_error, clock, 0.0, training_seconds)
    fake = FakeVertex(world, reads_lines=reads_lines)
    app = Starlette(routes=fake.routes())
    app.router.redirect_slashes = False
    app.state.vertex = fake
    return app, world
