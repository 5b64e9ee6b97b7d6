"""Fireworks' deployments, with what is uncomfortable there: judged by the vendor's own SDK and deployment manager.

An id stays taken after a deletion that is not hard; a deployment says READY before it answers, or answers before it
says so; at rest it has no replicas and the first call wakes it; a change without a mask erases what it does not send;
and one that nobody calls for seven days is deleted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fake_world import FakeRequest, FaultGate, Refused, Reply, identify_by_bearer
from starlette.requests import Request
from starlette.routing import Route

DEPLOYMENTS = "/v1/accounts/{account}/deployments"
DEPLOYMENT = DEPLOYMENTS + "/{deployment}"
MATCH = "/v1/accounts/{account}/deploymentShapeVersions:match"
IDENTIFIER = re.compile(r"[a-z][a-z0-9-]{0,62}")
UNSERVABLE = "accounts/fireworks/models/retiring"
SHAPELESS = "accounts/fireworks/models/llama-v3p1-70b-instruct"
SHAPES = {
    "MINIMAL": {"acceleratorType": "NVIDIA_A100_80GB", "precision": "FP8"},
    "FULL_PRECISION": {"acceleratorType": "NVIDIA_H100_80GB", "precision": "BF16"},
}
MUTABLE = {
    "display_name": "displayName",
    "description": "description",
    "min_replica_count": "minReplicaCount",
    "max_replica_count": "maxReplicaCount",
    "accelerator_type": "acceleratorType",
    "accelerator_count": "acceleratorCount",
    "precision": "precision",
    "deployment_shape": "deploymentShape",
    "autoscaling_policy": "autoscalingPolicy",
}
OTHERS = ("baseModel", "placement", "enableAddons", "enableHotLoad", "hotLoadBucketType", "forTraining")
KNOWN = {*MUTABLE.values(), *OTHERS}
WEEK = 7 * 24 * 3600.0
PAGE_SIZE = 3
Own = Callable[[Callable[[FakeRequest], Any]], Callable[[FakeRequest], Any]]


@dataclass
class FakeDeployment:
    """A deployment as it was asked for; what it is at a moment follows from the time and its calls."""

    id: str
    body: dict[str, Any]
    created_at: float
    start_seconds: float
    answer_seconds: float
    used_at: float
    message: str = ""  # with which it fails
    waking_since: float | None = None
    hard_deleted_at: float | None = None
    soft_deleted_at: float | None = None

    @property
    def idle_seconds(self) -> float:
        """After how much rest it has no replicas."""
        policy = self.body.get("autoscalingPolicy") or {}
        return float(str(policy.get("scaleToZeroWindow", "3600s")).removesuffix("s"))

    @property
    def may_rest(self) -> bool:
        return not self.body.get("minReplicaCount")


@dataclass
class FireworksDeployments:
    """What a test changes, and the deployments of each account by their ids."""

    start_seconds: float = 60.0
    answer_seconds: float = 90.0  # after the create; less than `start_seconds`: it answers before it says READY
    wake_seconds: float = 120.0
    removal_seconds: float = 10.0
    shows_deleted: bool = True  # whether a deletion that is not hard leaves something to read
    ends_as_deleted: bool = False  # whether a hard deletion ends in the state DELETED for ever, and not in a 404
    rehearses: bool = True  # whether it knows `validateOnly`
    omits_zeros: bool = False  # whether numbers that are 0 are left out
    failures: list[str] = field(default_factory=list)  # messages of the next deployments
    own: dict[str, dict[str, FakeDeployment]] = field(default_factory=dict)

    def routes(self, world: Any, own: Own) -> list[Route]:
        handlers: list[tuple[str, str, str, Any]] = [
            ("GET", "/v1/accounts", "deployments.list", list_accounts),
            ("POST", DEPLOYMENTS, "deployments.create", own(self.create)),
            ("GET", DEPLOYMENTS, "deployments.list", own(self.list)),
            ("PATCH", DEPLOYMENT + ":scale", "deployments.update", own(self.scale)),
            ("POST", DEPLOYMENT + ":undelete", "deployments.update", own(self.undelete)),
            ("GET", DEPLOYMENT, "deployments.retrieve", own(self.get)),
            ("PATCH", DEPLOYMENT, "deployments.update", own(self.update)),
            ("DELETE", DEPLOYMENT, "deployments.delete", own(self.delete)),
            ("POST", MATCH, "deployments.options", own(self.match)),
            ("POST", "/inference/v1/chat/completions", "deployments.call", self.call),
            ("POST", "/inference/v1/completions", "deployments.call", self.call),
        ]
        return [
            Route(path, FaultGate(world, operation, handler, identify=identify_by_key), methods=[method])
            for method, path, operation, handler in handlers
        ]

    def of(self, account: str) -> dict[str, FakeDeployment]:
        return self.own.setdefault(account, {})

    def add(self, account: str, name: str, model: str, now: float, **body: Any) -> FakeDeployment:
        """Put a deployment there, as its owner would."""
        made = FakeDeployment(
            id=name,
            body={"baseModel": model, **body},
            created_at=now,
            start_seconds=self.start_seconds,
            answer_seconds=self.answer_seconds,
            used_at=now,
            message=self.failures.pop(0) if self.failures else "",
        )
        self.of(account)[name] = made
        return made

    async def create(self, ask: FakeRequest) -> Reply:
        query, body = ask.request.query_params, await ask.request.json()
        name = query.get("deploymentId", "")
        if not IDENTIFIER.fullmatch(name) or len(body.get("displayName", "")) >= 64:
            raise Refused(400, "not a deployment id or display name", "invalid_argument")
        if unknown := body.keys() - KNOWN:
            raise Refused(400, f"unknown {sorted(unknown)}", "invalid_argument")
        if name in self.of(ask.name) and not self.is_free(ask, self.of(ask.name)[name]):
            raise Refused(409, f"deployment {name} exists", "already_exists")
        self._check_model(ask, body.get("baseModel", ""))
        self._check_hardware(body)
        if query.get("validateOnly") == "true" and self.rehearses:
            made = FakeDeployment(name, body, ask.now, 0, 0, ask.now)
            return Reply(self._describe(ask, made, "STATE_UNSPECIFIED"))
        made = self.add(ask.name, name, body.pop("baseModel"), ask.now, **body)
        return Reply(self._describe(ask, made, self.state(ask, made)))

    async def list(self, ask: FakeRequest) -> Reply:
        """Give out three a page, the oldest first."""
        query = ask.request.query_params
        hidden = {""} if query.get("showDeleted") == "true" else {"", "DELETED"}
        stated = [(each, self.state(ask, each)) for each in self.of(ask.name).values()]
        shown = [self._describe(ask, each, state) for each, state in stated if state not in hidden]
        if not shown:
            return Reply({})
        at = int(query.get("pageToken") or 0)
        size = min(int(query.get("pageSize") or 50), PAGE_SIZE)
        more = {"nextPageToken": str(at + size)} if at + size < len(shown) else {}
        return Reply({"deployments": shown[at : at + size], "totalSize": len(shown), **more})

    async def get(self, ask: FakeRequest) -> Reply:
        found, state = self._find(ask)
        return Reply(self._describe(ask, found, state))

    async def update(self, ask: FakeRequest) -> Reply:
        """Replace every mutable field with what the body has of it, unless a mask names some."""
        found, state = self._find(ask)
        body, mask = await ask.request.json(), ask.request.query_params.get("updateMask")
        paths = mask.split(",") if mask else list(MUTABLE)
        if unknown := set(paths) - MUTABLE.keys():
            raise Refused(400, f"unknown paths {sorted(unknown)}", "invalid_argument")
        for path in paths:
            found.body.pop(MUTABLE[path], None)
            if MUTABLE[path] in body:
                found.body[MUTABLE[path]] = body[MUTABLE[path]]
        return Reply(self._describe(ask, found, state))

    async def scale(self, ask: FakeRequest) -> Reply:
        found, _ = self._find(ask)
        count = (await ask.request.json()).get("replicaCount", 0)
        found.body |= {"minReplicaCount": count, "maxReplicaCount": count}
        return Reply({})

    async def delete(self, ask: FakeRequest) -> Reply:
        found, state = self._find(ask)
        query = ask.request.query_params
        if state == "DELETING":
            raise Refused(400, "the deployment is being deleted", "failed_precondition")
        if query.get("hard") == "true":
            found.hard_deleted_at = found.hard_deleted_at or ask.now
        elif state == "READY" and query.get("ignoreChecks") != "true" and ask.now < found.used_at + 60:
            raise Refused(400, "the deployment is in use", "failed_precondition")
        else:
            found.soft_deleted_at = ask.now
        return Reply({})

    async def undelete(self, ask: FakeRequest) -> Reply:
        found = self.of(ask.name).get(ask.path("deployment"))
        if found is None or found.soft_deleted_at is None:
            raise Refused(404, "no deleted deployment", "not_found")
        found.soft_deleted_at, found.used_at = None, ask.now
        return Reply(self._describe(ask, found, self.state(ask, found)))

    async def match(self, ask: FakeRequest) -> Reply:
        model = (await ask.request.json())["createDeploymentRequest"]["deployment"]["baseModel"]
        if model in (UNSERVABLE, SHAPELESS):
            return Reply({})
        versions = [
            {
                "name": f"accounts/fireworks/deploymentShapes/{preset.lower()}/versions/1",
                "validated": True,
                "snapshot": {
                    "name": f"accounts/fireworks/deploymentShapes/{preset.lower()}",
                    "baseModel": model,
                    "presetType": preset,
                    **values,
                },
            }
            for preset, values in SHAPES.items()
        ]
        return Reply({"deploymentShapeVersions": versions, "totalSize": len(versions)})

    async def call(self, ask: FakeRequest) -> Reply:
        """Answer, or wake up. Both forms of the model's name are known."""
        body = await ask.request.json()
        name = body["model"].rpartition("#")[2].removeprefix(f"accounts/org-{ask.name}/deployments/")
        found = self.of(ask.name).get(name)
        if found is None or self.state(ask, found) not in ("CREATING", "READY"):
            return refuse_call(404, "NOT_FOUND", "Model not found, inaccessible, and/or not deployed")
        if ask.now < found.created_at + found.answer_seconds:
            return refuse_call(503, "", "no healthy upstream")
        if found.body.get("maxReplicaCount") == 0:
            return refuse_call(503, "DEPLOYMENT_SCALED_TO_ZERO", "the deployment has no replicas")
        if self.is_asleep(found, ask.now):
            found.waking_since = ask.now if found.waking_since is None else found.waking_since
            if ask.now < found.waking_since + self.wake_seconds:
                return refuse_call(503, "DEPLOYMENT_SCALING_UP", "the deployment is scaling up from zero")
        found.used_at, found.waking_since = ask.now, None
        usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
        reply = {"role": "assistant", "content": "It"}
        text = {"message": reply} if "messages" in body else {"text": "It"}
        choice = {"index": 0, "finish_reason": "length", **text}
        kind = "chat.completion" if "messages" in body else "text_completion"
        return Reply(
            {
                "id": "cmpl-1",
                "object": kind,
                "created": int(ask.now),
                "model": body["model"],
                "choices": [choice],
                "usage": usage,
            }
        )

    def is_asleep(self, found: FakeDeployment, now: float) -> bool:
        return found.may_rest and now >= found.used_at + found.answer_seconds + found.idle_seconds

    def is_free(self, ask: FakeRequest, found: FakeDeployment) -> bool:
        """Whether its id can be used again: only after a hard deletion."""
        return found.hard_deleted_at is not None and ask.now >= found.hard_deleted_at + self.removal_seconds

    def state(self, ask: FakeRequest, found: FakeDeployment) -> str:
        """The word of the API; empty: it does not exist any more."""
        if self.is_free(ask, found):
            return "DELETED" if self.ends_as_deleted else ""
        if found.hard_deleted_at is not None:
            return "DELETING"
        if found.soft_deleted_at is not None or (found.may_rest and ask.now >= found.used_at + WEEK):
            return "DELETED"
        if found.message and ask.now >= found.created_at + found.start_seconds / 2:
            return "FAILED"
        return "CREATING" if ask.now < found.created_at + found.start_seconds else "READY"

    def _find(self, ask: FakeRequest) -> tuple[FakeDeployment, str]:
        found = self.of(ask.name).get(ask.path("deployment"))
        state = self.state(ask, found) if found else ""
        if found is None or not state or (state == "DELETED" and not self.shows_deleted):
            raise Refused(404, f"no deployment {ask.path('deployment')}", "not_found")
        return found, state

    def _check_model(self, ask: FakeRequest, model: str) -> None:
        own = model.startswith(f"accounts/org-{ask.name}/models/")
        made = {job.body.get("outputModel") for job in ask.account.jobs.values() if job.state(ask.now) == "succeeded"}
        if model == UNSERVABLE or (own and model not in made) or not (own or model.startswith("accounts/fireworks/")):
            raise Refused(400, f"model {model} cannot be deployed", "invalid_argument")

    def _check_hardware(self, body: dict[str, Any]) -> None:
        """A shape owns accelerator and precision."""
        shape = body.get("deploymentShape")
        if shape and (body.get("acceleratorType") or body.get("precision")):
            raise Refused(400, "a shape decides the accelerator and the precision", "invalid_argument")
        presets = {f"accounts/fireworks/deploymentShapes/{preset.lower()}" for preset in SHAPES}
        if shape and shape not in {"default", *presets}:
            raise Refused(404, f"no shape {shape}", "not_found")

    def _describe(self, ask: FakeRequest, found: FakeDeployment, state: str) -> dict[str, Any]:
        answering = state == "READY" and ask.now >= found.created_at + found.answer_seconds
        replicas = int(answering and not self.is_asleep(found, ask.now))
        waiting = int(state in ("CREATING", "READY") and not replicas and not self.is_asleep(found, ask.now))
        numbers = {"replicaCount": replicas, "desiredReplicaCount": max(replicas, waiting)}
        failed = {"code": "INTERNAL", "message": found.message}
        shown = {
            "name": f"accounts/org-{ask.name}/deployments/{found.id}",
            **found.body,
            "state": state,
            "status": failed if state == "FAILED" else {"code": "OK", "message": ""},
            "createTime": _iso(found.created_at),
            "replicaStats": {"readyReplicaCount": replicas, "downloadingModelReplicaCount": waiting},
            **numbers,
        }
        if state == "DELETED":
            shown["deleteTime"] = _iso(found.soft_deleted_at or ask.now)
        return _drop_zeros(shown) if self.omits_zeros else shown


async def list_accounts(ask: FakeRequest) -> Reply:
    return Reply({"accounts": [{"name": f"accounts/org-{ask.name}"}]})


async def identify_by_key(request: Request) -> str:
    """The account of a key, which may be in a header of its own."""
    if key := request.headers.get("x-api-key"):
        request.scope["headers"] = [*request.scope["headers"], (b"authorization", f"Bearer {key}".encode())]
        request = Request(request.scope)
    return await identify_by_bearer(request)


def refuse_call(status: int, code: str, message: str) -> Reply:
    """An error of the API for calls, which is OpenAI's."""
    error = {
        "object": "error",
        "type": "invalid_request_error",
        "message": message,
        **({"code": code} if code else {}),
    }
    return Reply({"error": error}, status)


def _drop_zeros(shown: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _drop_zeros(value) if isinstance(value, dict) else value
        for name, value in shown.items()
        if value not in (0, "")
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
