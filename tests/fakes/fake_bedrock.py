"""A fake of Bedrock's model customization, with the bucket that it reads: judged by botocore.

Honest about what is uncomfortable there: names that are used up for ever, a repeated token that is ignored without a
word, a taken name that is a ValidationException like any other mistake, two slots, and hyperparameters as texts.
Bodies are validated with botocore's own service model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator
from fake_aws import identify_by_signature_or_key, json_error
from fake_bedrock_deployments import BedrockDeployments
from fake_s3 import FakeS3
from fake_world import FakeJob, FakeRequest, FakeWorld, FaultGate, Refused, Reply
from starlette.applications import Starlette
from starlette.routing import Route

MODELS = ("amazon.nova-2-lite-v1:0:256k", "amazon.nova-micro-v1:0:128k")
REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/BedrockTraining"
JOBS = "/model-customization-jobs"
STATES = {
    "pending": "InProgress",
    "running": "InProgress",
    "odd": "reviewing",
    "succeeded": "Completed",
    "failed": "Failed",
    "cancelled": "Stopped",
}
JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9+.])*")
MODEL_NAME = re.compile(r"([0-9a-zA-Z][_-]?)+")
PARAMETERS = {"epochCount", "learningRate", "learningRateWarmupSteps"}


@dataclass
class FakeBedrock:
    """What a test changes: how many jobs an account may run, and whether files must have Nova's lines."""

    world: FakeWorld
    storage: FakeS3 = field(default_factory=FakeS3)
    reads_lines: bool = True
    max_jobs: int = 1000
    names: dict[str, str] = field(default_factory=dict)  # of all jobs ever: account and name -> token

    def routes(self) -> list[Route]:
        handlers: list[tuple[str, str, str, Any]] = [
            ("GET", JOBS, "jobs.list", self.list_jobs),
            ("POST", JOBS, "jobs.create", self.create_job),
            ("GET", JOBS + "/{job_id:path}", "jobs.retrieve", self.get_job),
            ("POST", JOBS + "/{job_id:path}/stop", "jobs.cancel", self.stop_job),
            ("GET", "/foundation-models", "models.list", self.list_models),
            ("GET", "/foundation-models/{model:path}", "models.retrieve", self.get_model),
            ("GET", "/custom-models/{model:path}", "models.retrieve", self.get_custom_model),
        ]
        own = [
            Route(
                path,
                FaultGate(self.world, operation, handler, identify=identify_by_signature_or_key),
                methods=[method],
            )
            for method, path, operation, handler in handlers
        ]
        return [*own, *self.storage.routes(self.world)]

    async def create_job(self, ask: FakeRequest) -> Reply:
        body = await ask.request.json()
        check_body(body)
        place = f"{ask.name}/{body['jobName']}"
        token = body.get("clientRequestToken")
        if token and self.names.get(place) == token:
            return Reply({"jobArn": job_arn(body["jobName"])}, 201)
        if place in self.names:
            raise Refused(400, f"The job name {body['jobName']} is already in use.", "ValidationException")
        open_jobs = [job for job in ask.account.jobs.values() if job.state(ask.now) in ("pending", "running")]
        if len(open_jobs) >= self.max_jobs:
            raise Refused(400, "Too many model customization jobs.", "ServiceQuotaExceededException")
        self._check_file(ask, body["trainingDataConfig"]["s3Uri"])
        self.names[place] = token or ""
        job = ask.new_job(body["jobName"], body)
        return Reply({"jobArn": job_arn(job.id)}, 201)

    async def list_jobs(self, ask: FakeRequest) -> Reply:
        shown = [self._describe(ask, job) for job in ask.account.jobs.values()]
        return Reply({"modelCustomizationJobSummaries": shown[: int(ask.request.query_params["maxResults"])]})

    async def get_job(self, ask: FakeRequest) -> Reply:
        return Reply(self._describe(ask, self._find(ask)))

    async def stop_job(self, ask: FakeRequest) -> Reply:
        job = self._find(ask)
        if job.state(ask.now) not in ("pending", "running", "odd"):
            raise Refused(409, "The job is not running.", "ConflictException")
        job.cancelled_at = job.cancelled_at or ask.now
        return Reply({})

    async def list_models(self, ask: FakeRequest) -> Reply:
        return Reply({"modelSummaries": [describe_model(model) for model in MODELS]})

    async def get_model(self, ask: FakeRequest) -> Reply:
        if ask.path("model") not in MODELS:
            raise Refused(400, "The provided model identifier is invalid.", "ValidationException")
        return Reply({"modelDetails": describe_model(ask.path("model"))})

    async def get_custom_model(self, ask: FakeRequest) -> Reply:
        if ask.path("model") not in list_finished_models(ask):
            raise Refused(404, "Could not find the custom model.", "not_found")
        return Reply({"modelArn": ask.path("model"), "modelStatus": "Active"})

    def _check_file(self, ask: FakeRequest, address: str) -> None:
        bucket, _, name = address.removeprefix("s3://").partition("/")
        if bucket != f"bucket-{ask.name}" or name not in ask.account.files:
            raise Refused(400, f"The dataset {address} cannot be read with the role.", "ValidationException")
        if self.reads_lines:
            for line in (ask.account.files[name].content or b"").splitlines():
                example = json.loads(line)
                assert example["schemaVersion"] == "bedrock-conversation-2024"
                assert all(set(block) == {"text"} for turn in example["messages"] for block in turn["content"])

    def _find(self, ask: FakeRequest) -> FakeJob:
        return ask.job(ask.path("job_id").removeprefix(job_arn("")))

    def _describe(self, ask: FakeRequest, job: FakeJob) -> dict[str, Any]:
        state, body = job.state(ask.now), job.body
        started = "NotStarted" if state == "pending" else STATES[state]
        shown = {
            "jobArn": job_arn(job.id),
            "jobName": job.id,
            "outputModelName": body["customModelName"],
            "clientRequestToken": body.get("clientRequestToken"),
            "roleArn": body["roleArn"],
            "status": STATES[state],
            "statusDetails": {"trainingDetails": {"status": started}},
            "creationTime": datetime.fromtimestamp(job.created_at, UTC).isoformat(),
            "baseModelArn": f"arn:aws:bedrock:{REGION}::foundation-model/{body['baseModelIdentifier']}",
            "hyperParameters": body.get("hyperParameters", {}),
            "trainingDataConfig": body["trainingDataConfig"],
            "outputDataConfig": body["outputDataConfig"],
        }
        if state == "failed":
            shown["failureMessage"] = job.fate["fail_job"].message or "Internal error"
        if job.shows_model(ask.now):
            shown |= {"outputModelArn": model_arn(job), "trainingMetrics": {"trainingLoss": 0.25}}
        return {name: value for name, value in shown.items() if value is not None}


def list_finished_models(ask: FakeRequest) -> set[str]:
    return {model_arn(job) for job in ask.account.jobs.values() if job.shows_model(ask.now)}


def job_arn(name: str) -> str:
    return f"arn:aws:bedrock:{REGION}:123456789012:model-customization-job/{name}"


def model_arn(job: FakeJob) -> str:
    return f"arn:aws:bedrock:{REGION}:123456789012:custom-model/{job.body['customModelName']}/{job.id}"


def describe_model(name: str) -> dict[str, Any]:
    arn = f"arn:aws:bedrock:{REGION}::foundation-model/{name}"
    return {"modelArn": arn, "modelId": name, "customizationsSupported": ["FINE_TUNING"]}


def check_body(body: dict[str, Any]) -> None:
    """Refuse what the service model does not have, and what Nova does not accept."""
    shape = get_input_shape()
    report = ParamValidator().validate(body, shape)
    unknown = body.keys() - shape.members.keys()
    if report.has_errors() or unknown:
        text = report.generate_report() or f"unknown members {sorted(unknown)}"
        raise Refused(400, text, "SerializationException")
    if not JOB_NAME.fullmatch(body["jobName"]) or not MODEL_NAME.fullmatch(body["customModelName"]):
        raise Refused(400, "A name does not satisfy its pattern.", "ValidationException")
    if body["baseModelIdentifier"] not in MODELS:
        raise Refused(400, f"The model {body['baseModelIdentifier']} is not customizable.", "ValidationException")
    if unknown := body.get("hyperParameters", {}).keys() - PARAMETERS:
        raise Refused(400, f"Unknown hyperparameters {sorted(unknown)}.", "ValidationException")


@cache
def get_input_shape() -> Any:
    model = botocore.session.get_session().get_service_model("bedrock")
    return model.operation_model("CreateModelCustomizationJob").input_shape


def create_bedrock(
    clock: Callable[[], float], training_seconds: float = 1.0, *, reads_lines: bool = True
) -> tuple[Starlette, FakeWorld]:
    """The fake, as `app.state.bedrock`, and its world. Key `sandbox-NAME:secret-of-NAME` owns `bucket-NAME`."""
    world = FakeWorld(json_error, clock, 0.0, training_seconds)
    fake = FakeBedrock(world, reads_lines=reads_lines)
    deployments = BedrockDeployments(world, REGION, list_finished_models)
    app = Starlette(routes=[*fake.routes(), *deployments.routes()])
    app.state.deployments = deployments
    app.router.redirect_slashes = False
    app.state.bedrock = fake
    return app, world
