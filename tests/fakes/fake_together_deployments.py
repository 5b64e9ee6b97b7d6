"""A fake of Together's dedicated endpoints, version 2: judged by the vendor's SDK 3.1.1.

Honest about what is uncomfortable there: version 1 refuses, the fine-tune's name is not what is deployed, a base
model may have no config or several, of other projects; READY serves nothing through the endpoint without a weight;
nothing is deleted while it runs; a stale etag is refused; the idle stop may be dropped without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from fake_world import FakeJob, FakeRequest, FakeWorld, Refused, Reply

from orchestrator.core.structs import Struct

PUBLIC_PROJECT = "proj_together"
BASE = "ml_llama31_8b"
BASE_PATH = f"projects/{PUBLIC_PROJECT}/models/{BASE}"
BARE_BASE = "ml_gemma3_27b"  # without a config
CATALOG = {
    "meta-llama/Meta-Llama-3.1-8B-Instruct": BASE,
    "google/gemma-3-27b-it": BARE_BASE,
    "openai/gpt-oss-20b": "",  # whose base model is not linked
}
CONFIGS = {
    BASE: [
        ("cr_h200", {"accelerator_type": "nvidia-h200-140gb", "accelerator_count": "1"}, "BF16"),
        ("cr_h100", {"accelerator_type": "nvidia-h100-80gb", "accelerator_count": "1"}, "FP8"),
        ("cr_2h100", {"accelerator_type": "nvidia-h100-80gb", "accelerator_count": "2"}, "BF16"),
        (
            "cr_lora",
            {"accelerator_type": "nvidia-l40s", "accelerator_count": "1", "adapter_mode": "dynamic"},
            "FP8",
        ),
    ]
}
PRICES = {"1xnvidia-h100-80gb": 399, "2xnvidia-h100-80gb": 798, "1xnvidia-h200-140gb": 499, "1xnvidia-l40s": 149}
IDLE_MINUTES = range(30, 1441)
SIX_HOURS = 6 * 3600
STATE = "DEPLOYMENT_STATE_"


class FakeDeployment(Struct):
    """A deployment; its state follows from the time and from the number of replicas that is asked for."""

    id: str
    name: str
    body: dict[str, Any]
    created_at: float
    since: float  # of the last change of its replicas
    failure: str | None = None
    stuck: bool = False
    degraded: bool = False
    etag: int = 1
    calls: int = 0

    @property
    def replicas(self) -> int:
        return int(self.body["autoscaling"]["minReplicas"])

    def state(self, now: float, seconds: float) -> str:
        age = now - self.since
        if self.replicas == 0:
            return "STOPPED" if age >= seconds / 2 else "STOPPING"
        if self.stuck:
            return "FAILED" if age >= SIX_HOURS else "PROVISIONING"
        if self.degraded:
            return "DEGRADED"
        if self.failure is not None and age >= seconds / 2:
            return "FAILED"
        return "PROVISIONING" if age < seconds / 2 else "SCALING" if age < seconds else "READY"


@dataclass
class FakeEndpoint:
    id: str
    name: str
    created_at: float
    split: list[dict[str, Any]] = field(default_factory=list)
    deployments: dict[str, FakeDeployment] = field(default_factory=dict)
    etag: int = 1


class FakeTogetherDeployments:
    """The endpoints of all projects. Attributes are the switches of a test."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.endpoints: dict[str, dict[str, FakeEndpoint]] = {}
        self.start_seconds = 600.0
        self.warm_calls = 1  # calls after READY that are refused
        self.keeps_idle_stop = True
        self.refuses_repeated_names = True
        self.failures: list[str] = []  # of the next deployments
        self.creates_stuck = False
        self.creates_degraded = False
        self.page_size = 500
        self.served: list[str] = []  # the models of answered calls

    def routes(self) -> list[tuple[str, str, str, Callable[..., Any]]]:
        """Method, path, operation and handler."""
        endpoints = "/v2/projects/{project}/endpoints"
        deployments = endpoints + "/{endpoint}/deployments"
        return [
            ("POST", "/v1/endpoints", "deployments.create", self.create_old_endpoint),
            ("GET", "/v2/projects/{project}/models", "deployments.list", self.list_models),
            ("GET", "/v2/projects/{project}/models/{model}", "deployments.retrieve", self.get_model),
            ("GET", "/v2/projects/{project}/configs", "deployments.options", self.list_configs),
            ("GET", "/v2/supported-models", "deployments.options", self.list_catalog),
            ("GET", "/v2/public/inference-instance-types", "deployments.options", self.list_instance_types),
            ("POST", endpoints, "endpoints.create", self.create_endpoint),
            ("GET", endpoints, "deployments.list", self.list_endpoints),
            ("GET", endpoints + "/{endpoint}", "deployments.retrieve", self.get_endpoint),
            ("PATCH", endpoints + "/{endpoint}", "deployments.update", self.update_endpoint),
            ("DELETE", endpoints + "/{endpoint}", "deployments.delete", self.delete_endpoint),
            ("POST", deployments, "deployments.create", self.create_deployment),
            ("GET", deployments, "deployments.list", self.list_deployments),
            ("GET", deployments + "/{deployment}", "deployments.retrieve", self.get_deployment),
            ("PATCH", deployments + "/{deployment}", "deployments.delete", self.update_deployment),
            ("DELETE", deployments + "/{deployment}", "deployments.delete", self.delete_deployment),
            ("POST", "/v1/chat/completions", "deployments.call", self.call),
        ]

    def deployments(self, account: str = "acme") -> list[FakeDeployment]:
        """What exists in the project of an account."""
        return [each for endpoint in self._of(account).values() for each in endpoint.deployments.values()]

    async def create_old_endpoint(self, ask: FakeRequest) -> Reply:
        raise Refused(
            403, "creating endpoints of version 1 is no longer possible", "endpoints_v1_create_access_disabled"
        )

    async def list_models(self, ask: FakeRequest) -> Reply:
        project = self._project(ask)
        jobs = [job for job in ask.account.jobs.values() if job.shows_model(ask.now)]
        return self._page(ask, [_model_object(ask, job, project) for job in jobs])

    async def get_model(self, ask: FakeRequest) -> Reply:
        project, model = self._project(ask, public=True), ask.path("model")
        if project == PUBLIC_PROJECT and model in CATALOG.values():
            return Reply(_public_model(model))
        return Reply(_model_object(ask, self._job_of(ask, model), project))

    async def list_configs(self, ask: FakeRequest) -> Reply:
        """Public configs belong to another project than the one that is asked."""
        self._project(ask)
        query = ask.request.query_params
        reference = query.get("referenceModel", "").rpartition("/")[2] or query.get("referenceModelId", "")
        configs = [_config(name, selectors, reference) for name, selectors, _ in CONFIGS.get(reference, ())]
        return self._page(ask, configs)

    async def list_catalog(self, ask: FakeRequest) -> Reply:
        wanted = ask.request.query_params.get("search", "").casefold()
        return self._page(ask, [_catalog_model(name) for name in CATALOG if wanted in name.casefold()])

    async def list_instance_types(self, ask: FakeRequest) -> Reply:
        types = [
            {"id": f"it_{n}", "name": name, "description": name, "gpuCount": int(name[0]), "gpuMemoryGib": 80,
             "gpuType": name[2:], "priceCentsPerHour": cents, "regions": [{"name": "us-central-8"}]}
            for n, (name, cents) in enumerate(PRICES.items())
        ]  # fmt: skip
        return Reply({"object": "list", "data": types, "next_cursor": None})

    async def create_endpoint(self, ask: FakeRequest) -> Reply:
        self._project(ask)
        body = await _read(ask, {"name", "visibility"})
        if any(each.name == body["name"] for each in self._of(ask.name).values()):
            raise Refused(409, f"the endpoint {body['name']} exists", "conflict")
        endpoint = FakeEndpoint(f"ep_{uuid4().hex[:12]}", body["name"], ask.now)
        self._of(ask.name)[endpoint.id] = endpoint
        return Reply(self._show_endpoint(ask, endpoint))

    async def list_endpoints(self, ask: FakeRequest) -> Reply:
        self._project(ask)
        wanted = ask.request.query_params.get("filter")
        if wanted and not wanted.startswith(('name="', 'name:"')):
            raise Refused(400, f"invalid filter {wanted}", "invalid_filter")
        exact = wanted.partition('"')[2].rstrip('"') if wanted and wanted.startswith("name=") else None
        found = [each for each in self._of(ask.name).values() if exact in (None, each.name)]
        return self._page(ask, [self._show_endpoint(ask, each) for each in ask.visible_objects(found)])

    async def get_endpoint(self, ask: FakeRequest) -> Reply:
        return Reply(self._show_endpoint(ask, self._endpoint(ask)))

    async def update_endpoint(self, ask: FakeRequest) -> Reply:
        endpoint, body = self._endpoint(ask), await _read(ask, {"etag", "name", "trafficSplit", "visibility"})
        _check_etag(body.get("etag"), endpoint.etag)
        endpoint.split = body.get("trafficSplit", endpoint.split)
        endpoint.etag += 1
        return Reply(self._show_endpoint(ask, endpoint))

    async def delete_endpoint(self, ask: FakeRequest) -> Reply:
        endpoint = self._endpoint(ask)
        _check_etag(ask.request.query_params.get("etag"), endpoint.etag)
        if endpoint.deployments:
            raise Refused(409, "the endpoint has deployments", "conflict")
        del self._of(ask.name)[endpoint.id]
        return Reply({})

    async def create_deployment(self, ask: FakeRequest) -> Reply:
        endpoint, body = self._endpoint(ask), await _read(ask, DEPLOYMENT_FIELDS)
        self._check_deployment(ask, body)
        if self.refuses_repeated_names and any(each.name == body["name"] for each in endpoint.deployments.values()):
            raise Refused(409, f"the deployment {body['name']} exists", "conflict")
        if not self.keeps_idle_stop:
            body.pop("inactiveTimeout", None)
        if "/revisions/" not in body["model"]:
            body["model"] += "/revisions/rv_latest"
        deployment = FakeDeployment(f"dep_{uuid4().hex[:12]}", body["name"], body, ask.now, ask.now)
        deployment.stuck, deployment.degraded = self.creates_stuck, self.creates_degraded
        deployment.failure = self.failures.pop(0) if self.failures else None
        shown = self._show_deployment(ask, endpoint, deployment)
        if ask.request.query_params.get("validateOnly") != "true":
            endpoint.deployments[deployment.id] = deployment
        return Reply(shown)

    async def list_deployments(self, ask: FakeRequest) -> Reply:
        endpoint = self._endpoint(ask)
        visible = ask.visible_objects(list(endpoint.deployments.values()))
        return self._page(ask, [self._show_deployment(ask, endpoint, each) for each in visible])

    async def get_deployment(self, ask: FakeRequest) -> Reply:
        return Reply(self._show_deployment(ask, self._endpoint(ask), self._deployment(ask)))

    async def update_deployment(self, ask: FakeRequest) -> Reply:
        endpoint, deployment = self._endpoint(ask), self._deployment(ask)
        body = await _read(ask, {"autoscaling", "etag", "inactiveTimeout", "name"})
        _check_etag(body.get("etag"), deployment.etag)
        if "autoscaling" in body:
            _check_replicas(body["autoscaling"], stopping=True)
            deployment.body["autoscaling"], deployment.since = body["autoscaling"], ask.now
        deployment.etag += 1
        return Reply(self._show_deployment(ask, endpoint, deployment))

    async def delete_deployment(self, ask: FakeRequest) -> Reply:
        endpoint, deployment = self._endpoint(ask), self._deployment(ask)
        _check_etag(ask.request.query_params.get("etag"), deployment.etag)
        if deployment.state(ask.now, self.start_seconds) != "STOPPED":
            raise Refused(409, "the deployment must be stopped before it is deleted", "conflict")
        if any(each["deploymentId"] == deployment.id for each in endpoint.split):
            raise Refused(409, "the deployment is in the traffic split", "conflict")
        del endpoint.deployments[deployment.id]
        return Reply({})

    async def call(self, ask: FakeRequest) -> Reply:
        """Through the endpoint a READY deployment needs a weight; by its complete name it does not."""
        body = await ask.request.json()
        slug, *names = str(body["model"]).split("/")
        endpoint = next((each for each in self._of(ask.name).values() if [each.name] == names[:1]), None)
        if endpoint is None or slug != _slug(ask):
            raise Refused(404, f"the model {body['model']} is not available", "model_not_available")
        weighted = {each["deploymentId"] for each in endpoint.split if each["weight"] > 0}
        for each in endpoint.deployments.values():
            chosen = each.name == names[1] if len(names) == 2 else each.id in weighted
            if chosen and each.state(ask.now, self.start_seconds) in ("READY", "DEGRADED"):
                each.calls += 1
                if each.calls > self.warm_calls:
                    self.served.append(each.body["model"])
                    return Reply(_completion(body))
        raise Refused(503, "no deployment can serve the request", "routing_error")

    def _of(self, account: str) -> dict[str, FakeEndpoint]:
        return self.endpoints.setdefault(account, {})

    def _project(self, ask: FakeRequest, *, public: bool = False) -> str:
        project = ask.path("project")
        if project != f"proj_{ask.name}" and not (public and project == PUBLIC_PROJECT):
            raise Refused(403, f"the key does not belong to {project}", "permission_denied")
        return project

    def _endpoint(self, ask: FakeRequest) -> FakeEndpoint:
        self._project(ask)
        if ask.path("endpoint") not in self._of(ask.name):
            raise Refused(404, f"no endpoint {ask.path('endpoint')}", "not_found")
        return self._of(ask.name)[ask.path("endpoint")]

    def _deployment(self, ask: FakeRequest) -> FakeDeployment:
        endpoint = self._endpoint(ask)
        if ask.path("deployment") not in endpoint.deployments:
            raise Refused(404, f"no deployment {ask.path('deployment')}", "not_found")
        return endpoint.deployments[ask.path("deployment")]

    def _job_of(self, ask: FakeRequest, model: str) -> FakeJob:
        for job in ask.account.jobs.values():
            if model_object_id(job) == model and job.shows_model(ask.now):
                return job
        raise Refused(404, f"no model {model}", "not_found")

    def _check_deployment(self, ask: FakeRequest, body: dict[str, Any]) -> None:
        _check_replicas(body["autoscaling"], stopping=False)
        projects, project, models, model, *_ = body["model"].split("/")
        if (projects, project, models) != ("projects", f"proj_{ask.name}", "models"):
            raise Refused(400, f"the model {body['model']} is not one of the project", "invalid_request")
        base = base_of(self._job_of(ask, model))
        known = {f"projects/{PUBLIC_PROJECT}/configs/{name}" for name, _, _ in CONFIGS.get(base, ())}
        if body.get("config") not in known:
            raise Refused(400, f"the config {body.get('config')} is not compatible with the model", "invalid_request")
        if body.get("inactiveTimeout", 0) not in (0, *IDLE_MINUTES):
            raise Refused(400, "inactiveTimeout must be 0 or 30 to 1440", "invalid_request")

    def _page(self, ask: FakeRequest, items: list[dict[str, Any]]) -> Reply:
        query = ask.request.query_params
        size = min(int(query.get("limit", 50)), self.page_size)
        start = int(query.get("after", "0").removeprefix("cursor-"))
        more = start + size < len(items)
        return Reply(
            {
                "object": "list",
                "data": items[start : start + size],
                "next_cursor": f"cursor-{start + size}" if more else None,
            }
        )

    def _show_endpoint(self, ask: FakeRequest, endpoint: FakeEndpoint) -> dict[str, Any]:
        shown = [self._show_deployment(ask, endpoint, each) for each in endpoint.deployments.values()]
        summaries = [
            {
                name: each[name]
                for name in ("id", "autoscaling", "createdAt", "model", "modelId", "name", "trafficMode")
            }
            | {"state": each["status"]["state"], "estimatedEffectiveTrafficShare": 0.0}
            for each in shown
        ]
        return {
            "id": endpoint.id,
            "name": f"{_slug(ask)}/{endpoint.name}",
            "projectId": f"proj_{ask.name}",
            "endpointType": "ENDPOINT_TYPE_DEDICATED",
            "visibility": "VISIBILITY_PRIVATE",
            "etag": f"e{endpoint.etag}",
            "createdAt": _iso(endpoint.created_at),
            "updatedAt": _iso(ask.now),
            "trafficSplit": endpoint.split,
            "deployments": summaries,
        }

    def _show_deployment(self, ask: FakeRequest, endpoint: FakeEndpoint, each: FakeDeployment) -> dict[str, Any]:
        state, body = each.state(ask.now, self.start_seconds), each.body
        ready = each.replicas if state == "READY" else 0
        failure = each.failure or "not ready within six hours"
        message = {"DEGRADED": "insufficient GPU capacity", "FAILED": failure}.get(state, "")
        config = body["config"].rpartition("/")[2]
        _, _, _, model, _, revision = body["model"].split("/")
        selectors = next(selectors for ways in CONFIGS.values() for name, selectors, _ in ways if name == config)
        shown = {
            "id": each.id,
            "name": f"{_slug(ask)}/{endpoint.name}/{each.name}",
            "endpointId": endpoint.id,
            "projectId": f"proj_{ask.name}",
            "model": body["model"],
            "modelId": model,
            "modelRevisionId": revision,
            "config": body["config"],
            "configId": config,
            "hardware": f"{selectors['accelerator_count']}x{selectors['accelerator_type']}",
            "autoscaling": body["autoscaling"],
            "desiredReplicas": each.replicas,
            "status": {
                "state": STATE + state,
                "message": message,
                "readyReplicas": ready,
                "scheduledReplicas": each.replicas,
            },
            "trafficMode": "TRAFFIC_MODE_LIVE",
            "etag": f"e{each.etag}",
            "createdAt": _iso(each.created_at),
            "updatedAt": _iso(ask.now),
        }
        return shown | ({"inactiveTimeout": body["inactiveTimeout"]} if "inactiveTimeout" in body else {})


DEPLOYMENT_FIELDS = {
    "autoscaling", "name", "config", "configId", "inactiveTimeout", "maxConcurrentRequestsPerReplica", "model",
    "modelId", "modelRevisionId", "placement",
}  # fmt: skip


def model_object_id(job: FakeJob) -> str:
    """The object of a fine-tune's model."""
    return f"ml_{job.id[3:15].replace('-', '')}"


def base_of(job: FakeJob) -> str:
    """The object of a fine-tune's base model."""
    return CATALOG.get(job.body["model"].removesuffix("-Reference"), BARE_BASE)


async def _read(ask: FakeRequest, known: set[str]) -> dict[str, Any]:
    body: dict[str, Any] = await ask.request.json()
    if unknown := body.keys() - known:
        raise Refused(400, f"unknown {sorted(unknown)}", "invalid_request")
    return body


def _check_replicas(autoscaling: dict[str, Any], *, stopping: bool) -> None:
    low, high = autoscaling.get("minReplicas", 1), autoscaling.get("maxReplicas", 1)
    if (low == 0 or high < low) and not (stopping and low == high == 0):
        raise Refused(400, "minReplicas must be at least 1; set both to 0 to stop", "invalid_request")


def _check_etag(sent: str | None, current: int) -> None:
    if sent not in (None, f"e{current}"):
        raise Refused(409, "the etag does not match", "conflict")


def _slug(ask: FakeRequest) -> str:
    return f"{ask.name}-project"


def _model_object(ask: FakeRequest, job: FakeJob, project: str) -> dict[str, Any]:
    base = base_of(job)
    return {
        "id": model_object_id(job),
        "name": f"{_slug(ask)}/{model_object_id(job)[3:]}",
        "organizationId": f"org-{ask.name}",
        "projectId": project,
        "visibility": "VISIBILITY_PRIVATE",
        "weights": {"type": "WEIGHTS_TYPE_MODEL"},
        "baseModel": f"projects/{PUBLIC_PROJECT}/models/{base}",
        "baseModelId": base,
    }


def _public_model(model: str) -> dict[str, Any]:
    return {"id": model, "name": model, "organizationId": "org-together", "projectId": PUBLIC_PROJECT,
            "visibility": "VISIBILITY_INTERNAL", "weights": {"type": "WEIGHTS_TYPE_MODEL"}}  # fmt: skip


def _config(name: str, selectors: dict[str, str], reference: str) -> dict[str, Any]:
    return {
        "id": name,
        "projectId": PUBLIC_PROJECT,
        "referenceModel": f"projects/{PUBLIC_PROJECT}/models/{reference}",
        "referenceModelId": reference,
        "selectors": [{"key": key, "value": value} for key, value in selectors.items()],
        "certifications": [],
    }


def _catalog_model(name: str) -> dict[str, Any]:
    base = CATALOG[name]
    profiles = [
        {"config": f"projects/{PUBLIC_PROJECT}/configs/{config}", "certifiedConfigRevisionId": config,
         "certifiedModelRevisionId": "rv_1", "gpuCount": int(selectors["accelerator_count"]),
         "gpuType": selectors["accelerator_type"], "model": f"projects/{PUBLIC_PROJECT}/models/{base}",
         "modelName": name, "parallelism": "", "performanceBenchmarks": {}, "profileId": config,
         "quantization": precision}
        for config, selectors, precision in CONFIGS.get(base, ())
    ]  # fmt: skip
    return {
        "id": name,
        "name": name,
        "displayName": name,
        "displayType": "chat",
        "baseModel": f"projects/{PUBLIC_PROJECT}/models/{base}" if base else "",
        "baseModelId": base,
        "capabilities": ["CAPABILITY_CHAT"],
        "createdAt": _iso(0),
        "updatedAt": _iso(0),
        "deploymentProfiles": profiles,
        "inputModalities": ["MODALITY_TEXT"],
        "outputModalities": ["MODALITY_TEXT"],
        "products": ["PRODUCT_FINE_TUNING", "PRODUCT_DEDICATED"],
        "publisher": name.partition("/")[0],
        "status": "SUPPORTED_MODEL_STATUS_SUPPORTED",
    }


def _completion(body: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": "H", "tool_calls": []}
    return {
        "id": f"cmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "length", "message": message}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
