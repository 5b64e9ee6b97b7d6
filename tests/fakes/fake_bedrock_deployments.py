"""Bedrock's custom model deployments and the call of a deployed model: judged by botocore.

A repeated token is ignored without a word, a taken name is a ValidationException like any other mistake, a deployment
that is Active still answers ModelNotReadyException for some time, and another model can be put behind the same ARN.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any

import botocore.session
from botocore.validate import ParamValidator
from fake_aws import identify_by_signature_or_key
from fake_world import FakeRequest, FakeWorld, FaultGate, Refused, Reply
from starlette.routing import Route

DEPLOYMENTS = "/model-customization/custom-model-deployments"
PAGE_SIZE = 3
ARN = "arn:aws:bedrock:{region}:123456789012:custom-model-deployment/"
NAME = re.compile(r"([0-9a-zA-Z][_-]?){1,63}")


@dataclass
class FakeBedrockDeployment:
    """A deployment as it was asked for; what it is at a moment follows from the time."""

    arn: str
    name: str
    model: str
    body: dict[str, Any]
    created_at: float
    message: str = ""  # with which it fails
    update: dict[str, str] | None = None  # another model that was put behind it


@dataclass
class BedrockDeployments:
    """What a test changes, and the deployments of each account by their names."""

    world: FakeWorld
    region: str
    models: Callable[[FakeRequest], set[str]]  # the ARNs of an account's finished models
    start_seconds: float = 60.0
    answer_seconds: float = 90.0  # after the create
    refuses: str = ""  # what a region without deployments says
    failures: list[str] = field(default_factory=list)  # messages of the next deployments
    own: dict[str, dict[str, FakeBedrockDeployment]] = field(default_factory=dict)

    def routes(self) -> list[Route]:
        one = DEPLOYMENTS + "/{identifier:path}"
        handlers: list[tuple[str, str, str, Any]] = [
            ("POST", DEPLOYMENTS, "deployments.create", self.create),
            ("GET", DEPLOYMENTS, "deployments.list", self.list),
            ("GET", one, "deployments.retrieve", self.get),
            ("PATCH", one, "deployments.update", self.update),
            ("DELETE", one, "deployments.delete", self.delete),
            ("POST", "/model/{identifier:path}/converse", "deployments.call", self.converse),
        ]
        return [
            Route(
                path,
                FaultGate(self.world, operation, handler, identify=identify_by_signature_or_key),
                methods=[method],
            )
            for method, path, operation, handler in handlers
        ]

    def of(self, account: str) -> dict[str, FakeBedrockDeployment]:
        return self.own.setdefault(account, {})

    def add(self, account: str, name: str, model: str, now: float, **body: Any) -> FakeBedrockDeployment:
        """Put a deployment there, as its owner would."""
        identity = sha256(f"{account}/{name}/{now}".encode()).hexdigest()[:12]
        message = self.failures.pop(0) if self.failures else ""
        made = FakeBedrockDeployment(self.format_arn(identity), name, model, body, now, message)
        self.of(account)[name] = made
        return made

    def format_arn(self, identity: str) -> str:
        return ARN.format(region=self.region) + identity

    async def create(self, ask: FakeRequest) -> Reply:
        body = await ask.request.json()
        check_input("bedrock", "CreateCustomModelDeployment", body)
        name, token = body["modelDeploymentName"], body.get("clientRequestToken")
        existing = self.of(ask.name).get(name)
        if existing and token and existing.body.get("clientRequestToken") == token:
            return Reply({"customModelDeploymentArn": existing.arn}, 202)
        if self.refuses:
            raise Refused(400, self.refuses, "ValidationException")
        if existing or not NAME.fullmatch(name):
            raise Refused(400, f"The deployment name {name} is already in use.", "ValidationException")
        if body["modelArn"] not in self.models(ask):
            raise Refused(404, f"The model {body['modelArn']} was not found or is not Active.", "not_found")
        made = self.add(ask.name, name, body["modelArn"], ask.now, **body)
        return Reply({"customModelDeploymentArn": made.arn}, 202)

    async def list(self, ask: FakeRequest) -> Reply:
        """Give out three a page, the oldest first."""
        query = ask.request.query_params
        chosen = [
            each
            for each in self.of(ask.name).values()
            if query.get("nameContains", "") in each.name and query.get("modelArnEquals", each.model) == each.model
        ]
        at = int(query.get("nextToken") or 0)
        size = min(int(query.get("maxResults") or 1000), PAGE_SIZE)
        more = {"nextToken": str(at + size)} if at + size < len(chosen) else {}
        shown = [self._describe(each, ask.now) for each in chosen[at : at + size]]
        for each in shown:
            each["customModelDeploymentName"] = each.pop("modelDeploymentName")
            each.pop("description", None)
        return Reply({"modelDeploymentSummaries": shown, **more})

    async def get(self, ask: FakeRequest) -> Reply:
        return Reply(self._describe(self._find(ask), ask.now))

    async def update(self, ask: FakeRequest) -> Reply:
        found, body = self._find(ask), await ask.request.json()
        if body["modelArn"] not in self.models(ask):
            raise Refused(404, "The model was not found.", "not_found")
        found.model, found.update = (
            body["modelArn"],
            {"modelArn": body["modelArn"], "updateStatus": "UpdateCompleted"},
        )
        return Reply({"customModelDeploymentArn": found.arn}, 202)

    async def delete(self, ask: FakeRequest) -> Reply:
        del self.of(ask.name)[self._find(ask).name]
        return Reply({})

    async def converse(self, ask: FakeRequest) -> Reply:
        body = await ask.request.json()
        check_input("bedrock-runtime", "Converse", body | {"modelId": ask.path("identifier")})
        found = next((each for each in self.of(ask.name).values() if each.arn == ask.path("identifier")), None)
        if found is None:
            raise Refused(404, "The provided model identifier does not exist.", "not_found")
        if self._status(found, ask.now) == "Failed":
            raise Refused(400, "The deployment has failed.", "ValidationException")
        if ask.now < found.created_at + self.answer_seconds:
            raise Refused(429, "The model is not ready for inference requests.", "ModelNotReadyException")
        content = [{"text": "It"}]
        return Reply(
            {
                "output": {"message": {"role": "assistant", "content": content}},
                "stopReason": "max_tokens",
                "usage": {"inputTokens": 5, "outputTokens": 1, "totalTokens": 6},
                "metrics": {"latencyMs": 7},
            }
        )

    def _find(self, ask: FakeRequest) -> FakeBedrockDeployment:
        """Find by ARN or by name."""
        identifier = ask.path("identifier")
        for each in self.of(ask.name).values():
            if identifier in (each.arn, each.name):
                return each
        raise Refused(404, f"The deployment {identifier} was not found.", "not_found")

    def _status(self, found: FakeBedrockDeployment, now: float) -> str:
        if found.message and now >= found.created_at + self.start_seconds / 2:
            return "Failed"
        return "Creating" if now < found.created_at + self.start_seconds else "Active"

    def _describe(self, found: FakeBedrockDeployment, now: float) -> dict[str, Any]:
        status = self._status(found, now)
        shown = {
            "customModelDeploymentArn": found.arn,
            "modelDeploymentName": found.name,
            "modelArn": found.model,
            "createdAt": datetime.fromtimestamp(found.created_at, UTC).isoformat(),
            "lastUpdatedAt": datetime.fromtimestamp(found.created_at, UTC).isoformat(),
            "status": status,
            "description": found.body.get("description"),
            "updateDetails": found.update,
            "failureMessage": found.message if status == "Failed" else None,
        }
        return {name: value for name, value in shown.items() if value is not None}


def check_input(service: str, operation: str, body: dict[str, Any]) -> None:
    """Refuse what the service model does not have."""
    shape = get_input_shape(service, operation)
    report = ParamValidator().validate(body, shape)
    unknown = body.keys() - shape.members.keys()
    if report.has_errors() or unknown:
        raise Refused(400, report.generate_report() or f"unknown {sorted(unknown)}", "ValidationException")


@cache
def get_input_shape(service: str, operation: str) -> Any:
    return botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
