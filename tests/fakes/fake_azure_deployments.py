"""A fake of Azure's resource manager, and of the calls of its deployments: judged by the vendor's SDK.

It stands before the sandbox, which trains. Token `arm-NAME` manages the resource `res-NAME` of the group `rg-NAME`;
the API key is refused there, as at Azure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from fake_openai_dialects import AzureTranslator
from fake_world import FakeRequest, FakeWorld, FaultGate, Refused, Reply
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount, Route

from orchestrator.sandbox.api_call import authenticate
from orchestrator.sandbox.response import SandboxApiError

SUBSCRIPTION: Final = "00000000-0000-4000-8000-000000000001"
RESOURCE = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.CognitiveServices/accounts/{name}"
)
DEPLOYMENT = RESOURCE + "/deployments/{deployment}"
OPERATION = (
    "/subscriptions/{subscription}/providers/Microsoft.CognitiveServices/locations/sweden/operationResults/{id}"
)
VERSIONS = {"2024-10-21", "2025-07-01-preview", "2025-09-01"}
SKUS = {
    "developertier": "DeveloperTier",
    "standard": "Standard",
    "globalstandard": "GlobalStandard",
    "provisionedmanaged": "ProvisionedManaged",
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,63}")
DAY = 24 * 3600.0
PAGE_SIZE = 3
TOKEN = re.compile(r"arm-([a-z0-9-]+?)(_.*)?")


@dataclass
class FakeDeployment:
    """A deployment as it was asked for; what it is at a moment follows from the time and its calls."""

    name: str
    body: dict[str, Any]
    created_at: float
    changed_at: float  # of the last PUT: it is created again
    used_at: float
    error: dict[str, str] | None = None  # with which the last operation fails
    deleted_at: float | None = None

    @property
    def sku(self) -> str:
        return str(self.body["sku"]["name"]).lower()


@dataclass
class AzureDeployments:
    """What a test changes, and the deployments of each account by their names."""

    base_model: str = "sandbox-small"
    start_seconds: float = 60.0
    answer_seconds: float = 120.0  # after Succeeded, during which the calls are answered with 404
    removal_seconds: float = 10.0
    quota: int = 1000  # thousands of tokens a minute of each type
    one_at_a_time: bool = True
    reports_conflicts_late: bool = False
    listed_skus: tuple[str, ...] = ("GlobalStandard", "DeveloperTier", "ProvisionedManaged")
    lists_unnamed: bool = True  # whether a new deployment is in the list at once
    output_limits: set[str] = field(default_factory=lambda: {"max_tokens", "max_completion_tokens"})
    min_output: int = 1
    refused_tokens: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)  # messages of the next deployments
    requests: list[tuple[str, str]] = field(default_factory=list)  # method and path at the resource manager
    is_trained: Callable[[str, str], bool] = lambda account, model: True
    own: dict[str, dict[str, FakeDeployment]] = field(default_factory=dict)
    operations: dict[str, tuple[str, FakeDeployment, float]] = field(default_factory=dict)

    def routes(self, world: FakeWorld) -> list[Route]:
        handlers: list[tuple[str, str, str, Any]] = [
            ("PUT", DEPLOYMENT, "deployments.create", self.put),
            ("GET", DEPLOYMENT, "deployments.retrieve", self.get),
            ("PATCH", DEPLOYMENT, "deployments.update", self.patch),
            ("DELETE", DEPLOYMENT, "deployments.delete", self.delete),
            ("GET", RESOURCE + "/deployments", "deployments.list", self.list),
            ("GET", RESOURCE + "/models", "deployments.options", self.models),
            ("GET", OPERATION, "deployments.retrieve", self.operation),
        ]
        managed = [
            Route(path, FaultGate(world, operation, self._guard(handler), identify=self.identify), methods=[method])
            for method, path, operation, handler in handlers
        ]
        call = FaultGate(world, "deployments.call", self.call, identify=identify_by_api_key)
        paths = ("/openai/v1/chat/completions", "/openai/deployments/{deployment}/chat/completions")
        return [*managed, *(Route(path, call, methods=["POST"]) for path in paths)]

    async def identify(self, request: Request) -> str:
        """Accept the tokens of the resource manager only."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        named = TOKEN.fullmatch(token)
        if named is None:
            raise Refused(401, f"The access token {token} is invalid.", "InvalidAuthenticationToken")
        if token in self.refused_tokens:
            raise Refused(401, "The access token expiry UTC time has passed.", "ExpiredAuthenticationToken")
        return named[1]

    def of(self, account: str) -> dict[str, FakeDeployment]:
        return self.own.setdefault(account, {})

    def add(self, account: str, name: str, model: str, now: float, **body: Any) -> FakeDeployment:
        """Put a deployment there, as its owner would."""
        settings = {"sku": {"name": "Standard", "capacity": 1}, "properties": {"model": {"name": model}}, **body}
        made = FakeDeployment(name, settings, now, now, now)
        self.of(account)[name] = made
        return made

    def exists(self, found: FakeDeployment, now: float) -> bool:
        """Return whether it is there: what is deleted, forgotten or of a day ends by itself."""
        if found.deleted_at is not None:
            return now < found.deleted_at + self.removal_seconds
        if found.sku == "developertier":
            return now < found.created_at + DAY
        return now < max(found.used_at, found.created_at) + 15 * DAY

    def state(self, found: FakeDeployment, now: float) -> str:
        if found.deleted_at is not None:
            return "Deleting"
        if now < found.changed_at + self.start_seconds:
            return "Creating"
        return "Failed" if found.error else "Succeeded"

    async def put(self, ask: FakeRequest) -> Reply:
        """Create the deployment, or change the one that has this name."""
        name, body = ask.path("deployment"), await ask.request.json()
        self._check_body(ask, name, body)
        existing = self._find(ask, name)
        conflict = self.one_at_a_time and self._find_operation(ask) is not None
        if conflict and not self.reports_conflicts_late:
            raise _conflict()
        self._check_quota(ask, name, body)
        error = {"code": "RequestConflict", "message": str(_conflict())} if conflict else None
        if error is None and self.failures:
            error = {"code": "InternalServerError", "message": self.failures.pop(0)}
        created_at = existing.created_at if existing else ask.now
        made = FakeDeployment(name, body, created_at, ask.now, ask.now, error)
        self.of(ask.name)[name] = made
        return Reply(self._describe(ask, made), 200 if existing else 201, self._start_operation(ask, made))

    async def get(self, ask: FakeRequest) -> Reply:
        return Reply(self._describe(ask, self._get(ask)))

    async def patch(self, ask: FakeRequest) -> Reply:
        """Change the tags and the type, and nothing else."""
        found, body = self._get(ask), await ask.request.json()
        if unknown := body.keys() - {"tags", "sku"}:
            raise Refused(400, f"Could not find member {sorted(unknown)}", "InvalidRequestContent")
        if self.one_at_a_time and self._find_operation(ask) is not None:
            raise _conflict()
        found.body |= body
        return Reply(self._describe(ask, found))

    async def delete(self, ask: FakeRequest) -> Reply:
        found = self._find(ask, ask.path("deployment"))
        if found is None:
            return Reply(None, 204)
        if found.deleted_at is None:
            if self.one_at_a_time and self._find_operation(ask, besides=found) is not None:
                raise _conflict()
            found.deleted_at = ask.now
        return Reply(None, 202, self._start_operation(ask, found))

    async def list(self, ask: FakeRequest) -> Reply:
        """Give out three a page."""
        there = [each for each in self.of(ask.name).values() if self.exists(each, ask.now)]
        shown = [each for each in there if self.lists_unnamed or self.state(each, ask.now) != "Creating"]
        at = int(ask.request.query_params.get("$skiptoken") or 0)
        query = f"api-version={ask.request.query_params['api-version']}&$skiptoken={at + PAGE_SIZE}"
        link = str(ask.request.url.replace(query=query))
        more = {"nextLink": link} if at + PAGE_SIZE < len(shown) else {}
        return Reply({"value": [self._describe(ask, each) for each in shown[at : at + PAGE_SIZE]], **more})

    async def models(self, ask: FakeRequest) -> Reply:
        skus = [{"name": sku, "usageName": f"OpenAI.{sku}.m", "capacity": {"minimum": 1}} for sku in self.listed_skus]
        model = {"format": "OpenAI", "name": self.base_model, "version": "1", "skus": skus}
        retired = {"format": "OpenAI", "name": "provisioned-only", "skus": [{"name": "ProvisionedManaged"}]}
        return Reply({"value": [model, retired]})

    async def operation(self, ask: FakeRequest) -> Reply:
        if ask.path("id") not in self.operations:  # they are kept for some hours
            raise Refused(404, "The operation was not found.", "NotFound")
        account, found, started_at = self.operations[ask.path("id")]
        assert account == ask.name
        if found.deleted_at is not None:
            return Reply({"status": "InProgress" if self.exists(found, ask.now) else "Succeeded"})
        if started_at != found.changed_at or ask.now < started_at + self.start_seconds:
            return Reply({"status": "Creating"})
        return Reply({"status": "Failed", "error": found.error} if found.error else {"status": "Succeeded"})

    async def call(self, ask: FakeRequest) -> Reply:
        """Answer a deployment's name; the id of a model is no name."""
        body = await ask.request.json()
        name = ask.request.path_params.get("deployment") or body["model"]  # in the path of the versioned API
        if "deployment" in ask.request.path_params and not ask.request.query_params.get("api-version"):
            raise Refused(404, "Resource not found", "404")
        found = self.of(ask.name).get(name)
        ready_at = None if found is None else found.changed_at + self.start_seconds + self.answer_seconds
        if found is None or not self.exists(found, ask.now) or self.state(found, ask.now) != "Succeeded":
            raise Refused(404, "The API deployment for this resource does not exist.", "DeploymentNotFound")
        if ready_at is None or ask.now < ready_at:
            raise Refused(404, "The API deployment for this resource does not exist.", "DeploymentNotFound")
        limits = body.keys() & {"max_tokens", "max_completion_tokens"}
        if limits - self.output_limits:
            raise Refused(400, f"Unsupported parameter: {sorted(limits)}", "unsupported_parameter")
        if any(body[name] < self.min_output for name in limits):
            raise Refused(400, "Could not finish the message because the output limit was reached.")
        found.used_at = ask.now
        message = {"role": "assistant", "content": f"I am {found.body['properties']['model']['name']}."}
        choice = {"index": 0, "message": message, "finish_reason": "length"}
        usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
        return Reply(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": int(ask.now),
                "model": name,
                "choices": [choice],
                "usage": usage,
            }
        )

    def _guard(self, handler: Any) -> Any:
        async def guarded(ask: FakeRequest) -> Reply:
            self.requests.append((ask.request.method, ask.request.url.path))
            if ask.request.query_params.get("api-version") not in VERSIONS:
                raise Refused(400, "The api-version is not supported.", "InvalidApiVersionParameter")
            if ask.path("subscription") != SUBSCRIPTION:
                raise Refused(404, "The subscription could not be found.", "SubscriptionNotFound")
            parameters = ask.request.path_params
            if parameters.get("group", f"rg-{ask.name}") != f"rg-{ask.name}":
                raise Refused(404, "Resource group could not be found.", "ResourceGroupNotFound")
            if parameters.get("name", f"res-{ask.name}") != f"res-{ask.name}":
                raise Refused(
                    404, "Can not perform requested operation on nested resource.", "ParentResourceNotFound"
                )
            reply: Reply = await handler(ask)
            return reply

        return guarded

    def _find(self, ask: FakeRequest, name: str) -> FakeDeployment | None:
        found = self.of(ask.name).get(name)
        return found if found and self.exists(found, ask.now) else None

    def _get(self, ask: FakeRequest) -> FakeDeployment:
        found = self._find(ask, ask.path("deployment"))
        if found is None:
            raise Refused(404, f"The deployment {ask.path('deployment')} was not found.", "ResourceNotFound")
        return found

    def _find_operation(self, ask: FakeRequest, besides: FakeDeployment | None = None) -> FakeDeployment | None:
        """Return a deployment that is being created or deleted."""
        there = [each for each in self.of(ask.name).values() if each is not besides and self.exists(each, ask.now)]
        return next((each for each in there if self.state(each, ask.now) in ("Creating", "Deleting")), None)

    def _check_body(self, ask: FakeRequest, name: str, body: dict[str, Any]) -> None:
        model = body.get("properties", {}).get("model", {})
        if not NAME.fullmatch(name) or body.keys() - {"sku", "tags", "properties"}:
            raise Refused(400, "The request content is invalid.", "InvalidRequestContent")
        if body["sku"].get("name", "").lower() not in SKUS or not isinstance(body["sku"].get("capacity"), int):
            raise Refused(400, f"The sku {body['sku']} is not supported.", "InvalidResourceProperties")
        if model.get("format") != "OpenAI" or model.get("version") != "1":
            raise Refused(400, f"The model {model} is invalid.", "InvalidResourceProperties")
        if not self.is_trained(ask.name, model.get("name", "")):
            raise Refused(400, f"The model {model.get('name')} is not supported.", "DeploymentModelNotSupported")

    def _check_quota(self, ask: FakeRequest, name: str, body: dict[str, Any]) -> None:
        sku = body["sku"]["name"].lower()
        others = [each for each in self.of(ask.name).values() if each.name != name and self.exists(each, ask.now)]
        used = sum(each.body["sku"]["capacity"] for each in others if each.sku == sku)
        if used + body["sku"]["capacity"] > self.quota:
            wanted = f"requires {body['sku']['capacity']}, with {self.quota - used} available"
            raise Refused(400, f"This operation {wanted} in quota Tokens Per Minute.", "InsufficientQuota")

    def _start_operation(self, ask: FakeRequest, found: FakeDeployment) -> dict[str, str]:
        identity = str(uuid5(NAMESPACE_URL, f"{ask.name}{found.name}{found.changed_at}{found.deleted_at}"))
        self.operations[identity] = (ask.name, found, found.changed_at)
        path = OPERATION.format(subscription=SUBSCRIPTION, id=identity)
        url = ask.request.url.replace(path=path, query=f"api-version={ask.request.query_params['api-version']}")
        return {"azure-asyncoperation": str(url), "retry-after": "0"}

    def _describe(self, ask: FakeRequest, found: FakeDeployment) -> dict[str, Any]:
        state, path = self.state(found, ask.now), ask.request.url.path.partition("/deployments")[0]
        sku = found.body["sku"] | {"name": SKUS[found.sku]}
        properties = found.body["properties"] | {"provisioningState": state, "capabilities": {}, "rateLimits": []}
        created = datetime.fromtimestamp(found.created_at, UTC).isoformat().replace("+00:00", "Z")
        return {
            "id": f"{path}/deployments/{found.name}",
            "type": "Microsoft.CognitiveServices/accounts/deployments",
            "name": found.name,
            "sku": sku,
            "properties": properties,
            "systemData": {"createdAt": created, "createdByType": "User"},
            "etag": f'"{int(found.changed_at)}"',
            **({"tags": found.body["tags"]} if "tags" in found.body else {}),
        }


def create_azure(sandbox: Starlette, clock: Callable[[], float], world: FakeWorld | None = None) -> Starlette:
    """Put the resource manager before a sandbox. Tests change `state.deployments` and the faults of `state.world`."""
    fake, translator = AzureDeployments(), AzureTranslator(sandbox)

    def is_trained(account: str, model: str) -> bool:
        jobs = sandbox.state.sandbox.jobs.of(account).values()
        tuned = {f"{job.model}.ft-{job.id.removeprefix('ftjob-')}" for job in jobs}
        return model in tuned or (model.startswith("ftchkpt-") and bool(tuned))

    fake.is_trained = is_trained
    world = world or FakeWorld(_error, clock)
    app = Starlette(routes=[*fake.routes(world), Mount("/", translator)])
    app.state.deployments, app.state.world, app.state.translator = fake, world, translator
    return app


async def identify_by_api_key(request: Request) -> str:
    """The account of a key in either of the two headers."""
    key = request.headers.get("api-key")
    headers = {"authorization": f"Bearer {key}" if key else request.headers.get("authorization", "")}
    try:
        return authenticate(headers).name
    except SandboxApiError as refusal:
        raise Refused(401, refusal.response.body["error"]["message"], "401") from None


def _conflict() -> Refused:
    message = "Another operation is being performed on the parent resource. Please try again later."
    return Refused(409, message, "RequestConflict")


def _error(refused: Refused) -> dict[str, Any]:
    return {"error": {"code": refused.code, "message": refused.message}}
