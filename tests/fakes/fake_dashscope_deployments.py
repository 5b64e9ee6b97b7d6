"""A fake of DashScope's deployments: judged by the vendor's SDK, in its old and its new client.

Honest about what is uncomfortable there: a capacity that means nothing must be sent, a suffix is used once in the
whole service and by anybody, a second create without one is refused, some base models have no plan per token, what is
not used is released after a month, a deletion takes a while, and no answer shows the name that was sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from fake_world import FakeJob, FakeRequest, FakeWorld, Refused, Reply

PLANS: dict[str, dict[str, dict[str, int]]] = {
    "qwen3-14b": {"mu": {"MU1": 4, "MU5": 1}, "lora": {}},
    "qwen3-32b": {"mu": {"MU1": 4}, "ptu": {}},
}
"""Plans of a base model, with the templates of `mu` and the units of one instance."""
FIELDS = {
    "model_name", "plan", "name", "capacity", "billing_method", "deploy_spec", "template_id", "suffix",
    "ptu_capacity", "enable_thinking", "max_context_length", "rpm_limit", "tpm_limit", "model_version",
}  # fmt: skip
SUFFIX = re.compile(r"[a-z0-9.-]{1,8}")
MONTH = 30 * 24 * 3600.0
SITE_ZONE = timedelta(hours=8)


@dataclass
class FakeDeployment:
    """A deployment; its status follows from the time."""

    deployed_model: str
    body: dict[str, Any]
    created_at: float
    last_call: float
    units: int = 1
    failure: str | None = None
    deleted_at: float | None = None

    def status(self, now: float, seconds: float) -> str:
        age = now - self.created_at
        if self.deleted_at is not None:
            return "DELETING"
        if age >= seconds:
            return "RUNNING" if self.failure is None else "FAILED"
        return "PENDING" if age < seconds / 2 else "DEPLOYING"


class FakeDashScopeDeployments:
    """The deployments of all accounts. Attributes are the switches of a test."""

    def __init__(self, world: FakeWorld, tuned_model: Callable[[FakeJob], str]) -> None:
        """`tuned_model` is the name of the model that a job makes."""
        self.world = world
        self._tuned = tuned_model
        self.accounts: dict[str, dict[str, FakeDeployment]] = {}
        self.taken_suffixes: set[str] = set()  # by other customers
        self.start_seconds = 300.0
        self.removal_seconds = 60.0
        self.answer_seconds = 0.0  # after RUNNING
        self.page_size = 200
        self.accepts_name = True
        self.shows_name = False
        self.shows_plan = True
        self.shows_plans_of_models = True
        self.conflict_status = 409
        self.separator = "-"  # between the model and its suffix
        self.failures: list[str] = []  # of the next deployments
        self.served: list[str] = []

    def routes(self) -> list[tuple[str, str, str, Callable[..., Any]]]:
        """Method, path, operation and handler."""
        one = "/api/v1/deployments/{deployed_model}"
        return [
            ("POST", "/api/v1/deployments", "deployments.create", self.create),
            ("GET", "/api/v1/deployments", "deployments.list", self.list_deployments),
            ("GET", "/api/v1/deployments/models", "deployments.options", self.list_models),
            ("GET", one, "deployments.retrieve", self.get),
            ("PUT", one + "/scale", "deployments.update", self.scale),
            ("DELETE", one, "deployments.delete", self.delete),
            ("POST", "/compatible-mode/v1/chat/completions", "deployments.call", self.call),
            ("POST", "/api/v1/services/aigc/text-generation/generation", "deployments.call", self.call_natively),
        ]

    def of(self, account: str = "acme") -> dict[str, FakeDeployment]:
        """What exists in an account: nothing that was deleted or was unused for a month."""
        known, now = self.accounts.setdefault(account, {}), self.world.clock()
        for name, each in list(known.items()):
            deleted = each.deleted_at is not None and now >= each.deleted_at + self.removal_seconds
            if deleted or (each.body["plan"] == "lora" and now >= each.last_call + MONTH):
                del known[name]
        return known

    async def create(self, ask: FakeRequest) -> Reply:
        body = await ask.request.json()
        self._check(ask, body)
        suffix = body.get("suffix")
        name = f"{body['model_name']}{self.separator}{suffix}" if suffix else body["model_name"]
        if name in self.of(ask.name) or (suffix and suffix in self._suffixes()):
            message = f"Deployed model {name} already exists, please specify a suffix."
            raise Refused(self.conflict_status, message, "Conflict")
        made = FakeDeployment(name, body, ask.now, ask.now, self._units(ask, body))
        made.failure = self.failures.pop(0) if self.failures else None
        self.of(ask.name)[name] = made
        return self._answer(self._show(ask, made))

    async def list_deployments(self, ask: FakeRequest) -> Reply:
        items = [self._show(ask, each) for each in reversed(ask.visible_objects(list(self.of(ask.name).values())))]
        return self._page(ask, "deployments", items)

    async def list_models(self, ask: FakeRequest) -> Reply:
        query = ask.request.query_params
        if query.get("model_source", "base") == "custom":
            names = {
                self._tuned(job): job.body["model"] for job in ask.account.jobs.values() if job.shows_model(ask.now)
            }
        else:
            names = {name: name for name in PLANS}
        items: list[dict[str, Any]] = [{"model_name": name, "base_capacity": 1} for name in names]
        if query.get("version") == "v1.0" and self.shows_plans_of_models:
            items = [{"model_name": name, "plans": _show_plans(base)} for name, base in names.items()]
        return self._page(ask, "models", items)

    async def get(self, ask: FakeRequest) -> Reply:
        return self._answer(self._show(ask, self._find(ask)))

    async def scale(self, ask: FakeRequest) -> Reply:
        body, found = await ask.request.json(), self._find(ask)
        if body["capacity"] % found.units:
            raise Refused(400, f"Invalid capacity ({body['capacity']})", "InvalidParameter")
        found.body["capacity"] = body["capacity"]
        return self._answer(self._show(ask, found) | {"status": "UPDATING"})

    async def delete(self, ask: FakeRequest) -> Reply:
        found = self._find(ask)
        if found.deleted_at is None:
            found.deleted_at = ask.now
        return self._answer(self._show(ask, found))

    async def call(self, ask: FakeRequest) -> Reply:
        model = await self._serve(ask)
        choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "H"}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return Reply({"id": uuid4().hex, "object": "chat.completion", "created": 0, "model": model,
                      "choices": [choice], "usage": usage})  # fmt: skip

    async def call_natively(self, ask: FakeRequest) -> Reply:
        await self._serve(ask)
        choice = {"finish_reason": "length", "message": {"role": "assistant", "content": "H"}}
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        return Reply({"request_id": str(uuid4()), "output": {"choices": [choice]}, "usage": usage})

    async def _serve(self, ask: FakeRequest) -> str:
        model = str((await ask.request.json())["model"])
        found = self.of(ask.name).get(model)
        since = self.start_seconds + self.answer_seconds
        if found is None or found.status(ask.now, since) != "RUNNING":
            raise Refused(404, f"The model `{model}` does not exist.", "model_not_found")
        found.last_call = ask.now
        self.served.append(found.body["model_name"])
        return model

    def _suffixes(self) -> set[str]:
        ours = {each.body.get("suffix") for account in list(self.accounts) for each in self.of(account).values()}
        return self.taken_suffixes | {each for each in ours if each}

    def _find(self, ask: FakeRequest) -> FakeDeployment:
        name = ask.path("deployed_model")
        if name not in self.of(ask.name):
            raise Refused(404, f"Model: {name} not found!", "NotFound")
        return self.of(ask.name)[name]

    def _base(self, ask: FakeRequest, model: str) -> str:
        bases = {self._tuned(job): job.body["model"] for job in ask.account.jobs.values() if job.shows_model(ask.now)}
        if model not in bases:
            raise Refused(404, f"Model: {model} not found!", "NotFound")
        return str(bases[model])

    def _units(self, ask: FakeRequest, body: dict[str, Any]) -> int:
        return PLANS[self._base(ask, body["model_name"])][body["plan"]].get(body.get("deploy_spec", ""), 1)

    def _check(self, ask: FakeRequest, body: dict[str, Any]) -> None:
        known = FIELDS if self.accepts_name else FIELDS - {"name"}
        if unknown := body.keys() - known:
            raise Refused(400, f"unknown parameter {sorted(unknown)}", "InvalidParameter")
        plans = PLANS[self._base(ask, body["model_name"])]
        if body.get("plan") not in plans:
            raise Refused(
                400, f"plan {body.get('plan')} is not supported by {body['model_name']}", "InvalidParameter"
            )
        if not isinstance(body.get("capacity"), int):
            raise Refused(400, "Invalid capacity (null)", "InvalidParameter")
        if "suffix" in body and not SUFFIX.fullmatch(body["suffix"]):
            raise Refused(400, f"Invalid suffix ({body['suffix']})", "InvalidParameter")
        if body["plan"] == "mu":
            if body.get("deploy_spec") not in plans["mu"] or body.get("billing_method") != "POST_PAY":
                raise Refused(400, "deploy_spec and billing_method are required with plan mu", "InvalidParameter")
            if body["capacity"] < 1 or body["capacity"] % plans["mu"][body["deploy_spec"]]:
                raise Refused(400, f"Invalid capacity ({body['capacity']})", "InvalidParameter")

    def _show(self, ask: FakeRequest, each: FakeDeployment) -> dict[str, Any]:
        status, capacity = each.status(ask.now, self.start_seconds), each.body["capacity"]
        shown = {
            "deployed_model": each.deployed_model,
            "model_name": each.body["model_name"],
            "base_model": each.body["model_name"].partition("-ft-")[0],
            "status": status,
            "capacity": capacity,
            "base_capacity": each.units,
            "ready_capacity": capacity if status == "RUNNING" else 0,
            "workspace_id": ask.request.headers.get("x-dashscope-workspace", "llm-default"),
            "charge_type": "post_paid",
            "creator": "1654290265984853",
            "modifier": "1654290265984853",
            "gmt_create": _local_time(each.created_at),
            "gmt_modified": _local_time(each.created_at),
        }
        if self.shows_plan:
            shown["plan"] = each.body["plan"]
        if self.shows_name and "name" in each.body:
            shown["name"] = each.body["name"]
        return shown | ({"message": each.failure} if status == "FAILED" else {})

    def _page(self, ask: FakeRequest, name: str, items: list[dict[str, Any]]) -> Reply:
        query = ask.request.query_params
        number, size = int(query.get("page_no", 1)), min(int(query.get("page_size", 50)), self.page_size)
        shown = items[(number - 1) * size : number * size]
        return self._answer({"page_no": number, "page_size": size, "total": len(items), name: shown})

    def _answer(self, output: dict[str, Any]) -> Reply:
        return Reply({"request_id": str(uuid4()), "output": output})


def _show_plans(base: str) -> list[dict[str, Any]]:
    return [
        {"plan": plan, "templates": [_show_template(name, units) for name, units in templates.items()]}
        if templates
        else {"plan": plan}
        for plan, templates in PLANS[base].items()
    ]


def _show_template(name: str, units: int) -> dict[str, Any]:
    return {
        "template_id": name,
        "template_name": name,
        "template_type": "COUPLED",
        "template_version": "v1",
        "template_desc": "",
        "roles": {"unified": {"model_unit_spec": name, "capacity_unit_per_instance": units}},
    }


def _local_time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC) + SITE_ZONE:%Y-%m-%dT%H:%M:%S}"
