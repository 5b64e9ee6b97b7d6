"""A fake of Nebius' custom models before the sandbox's fine-tuning. No SDK of the vendor can judge it.

Honest about what is uncomfortable there: the name gets a base model and a random end, and goes into paths with its
slashes and colons; the first response has no status; a second create makes a second model; and all may be gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from fake_world import FakeRequest, FakeWorld, FaultGate, Refused, Reply
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.sandbox.simulation.job_progress import _build_checkpoint, _list_checkpoint_steps

FIELDS = {"name", "base_model", "source", "description"}
MODELS_PATHS = ("/v0/models", "/v1/models")
SERVED_BASES = ("meta-llama/Llama-3.1-8B-Instruct",)


@dataclass
class FakeCustomModel:
    """A custom model; its status follows from the time."""

    name: str
    body: dict[str, Any]
    created_at: float
    failure: str | None = None
    reads: int = 0

    def status(self, now: float, seconds: float) -> str:
        if now < self.created_at + seconds:
            return "validating"
        return "active" if self.failure is None else "error"


class FakeNebius:
    """The custom models of all accounts. Attributes are the switches of a test."""

    def __init__(self, sandbox: Starlette, inner: ASGIApp, clock: Callable[[], float]) -> None:
        self._sandbox = sandbox.state.sandbox
        self._inner = inner
        self.world = FakeWorld(_error, clock, book=self._sandbox.faults)
        self.models: dict[str, dict[str, FakeCustomModel]] = {}
        self.start_seconds = 30.0
        self.answer_seconds = 0.0  # after `active`
        self.hides_first_status = True
        self.gone_status: int | None = None  # of the answers where custom models do not exist
        self.deletes_at = MODELS_PATHS[0]  # the one address at which a model can be deleted; empty: nowhere
        self.failures: list[str] = []  # of the next models
        self.served: list[str] = []

    def of(self, account: str = "acme") -> dict[str, FakeCustomModel]:
        """The custom models of an account."""
        return self.models.setdefault(account, {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._find_handler(scope) if scope["type"] == "http" else None
        if handler is None:
            await self._inner(scope, receive, send)
        else:
            operation, handle = handler
            await FaultGate(self.world, operation, handle)(scope, receive, send)

    def _find_handler(self, scope: Scope) -> tuple[str, Callable[..., Any]] | None:
        """The path is read as it was sent: a name is one part of it."""
        path, method = scope["raw_path"].decode().partition("?")[0], scope["method"]
        if (method, path) == ("POST", "/v1/chat/completions"):
            return "deployments.call", self.call
        root = next((each for each in MODELS_PATHS if path == each or path.startswith(each + "/")), None)
        name = path.removeprefix(root or "").removeprefix("/")
        if root is None or "/" in name or (root == MODELS_PATHS[1] and method != "DELETE"):
            return None
        if not name:
            return ("deployments.create", self.create) if method == "POST" else ("deployments.list", self.list_models)
        if method == "DELETE":
            return "deployments.delete", self._bind(self.delete, root, unquote(name))
        return "deployments.retrieve", self._bind(self.get, unquote(name))

    def _bind(self, handle: Callable[..., Any], *values: str) -> Callable[..., Any]:
        return lambda ask: handle(ask, *values)

    async def create(self, ask: FakeRequest) -> Reply:
        self._refuse_if_gone()
        body = await ask.request.json()
        if body.keys() - FIELDS or {"name", "base_model", "source"} - body.keys():
            raise Refused(422, f"unexpected fields {sorted(body)}")
        job_id, _, checkpoint = body["source"].rpartition(":")
        if checkpoint not in self._checkpoints(ask.name, job_id) or "org_placeholder" in checkpoint:
            raise Refused(422, f"the source {body['source']} is not an adapter")
        if body["base_model"] not in SERVED_BASES:
            raise Refused(422, f"the base model {body['base_model']} is not supported")
        name = f"{body['base_model']}-fast-LoRa:{body['name']}-{uuid4().hex[:4].title()}"
        made = FakeCustomModel(name, body, ask.now, self.failures.pop(0) if self.failures else None)
        self.of(ask.name)[name] = made
        return Reply(self._show(ask, made))

    async def list_models(self, ask: FakeRequest) -> Reply:
        self._refuse_if_gone()
        return Reply({"object": "list", "data": [self._show(ask, each) for each in self.of(ask.name).values()]})

    async def get(self, ask: FakeRequest, name: str) -> Reply:
        self._refuse_if_gone()
        found = self._find(ask, name)
        shown = self._show(ask, found)
        found.reads += 1
        hidden = {"status"} if self.hides_first_status and found.reads == 1 else set()
        return Reply({key: value for key, value in shown.items() if key not in hidden})

    async def delete(self, ask: FakeRequest, root: str, name: str) -> Reply:
        self._refuse_if_gone()
        if root != self.deletes_at:
            raise Refused(405, "Method Not Allowed")
        del self.of(ask.name)[self._find(ask, name).name]
        return Reply({"name": name, "deleted": True})

    async def call(self, ask: FakeRequest) -> Reply:
        model = str((await ask.request.json())["model"])
        found = self.of(ask.name).get(model)
        if found is None or found.status(ask.now, self.start_seconds + self.answer_seconds) != "active":
            raise Refused(404, f"The model `{model}` does not exist.")
        self.served.append(found.body["source"])
        choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "H"}}
        answer = {"id": uuid4().hex, "object": "chat.completion", "model": model, "choices": [choice]}
        return Reply(answer | {"usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}})

    def add(self, account: str, name: str, source: str, now: float) -> None:
        """Put somebody's model there."""
        body = {"name": name, "base_model": SERVED_BASES[0], "source": source}
        full = f"{SERVED_BASES[0]}-LoRa:{name}-Zz9x"
        self.of(account)[full] = FakeCustomModel(full, body, now)

    def _refuse_if_gone(self) -> None:
        if self.gone_status is not None:
            raise Refused(self.gone_status, "Not Found")

    def _find(self, ask: FakeRequest, name: str) -> FakeCustomModel:
        if name not in self.of(ask.name):
            raise Refused(404, f"no model {name}")
        return self.of(ask.name)[name]

    def _checkpoints(self, account: str, job_id: str) -> set[str]:
        job = self._sandbox.jobs.of(account).get(job_id)
        return {_build_checkpoint(job, step, 0)["id"] for step in _list_checkpoint_steps(job)} if job else set()

    def _show(self, ask: FakeRequest, each: FakeCustomModel) -> dict[str, Any]:
        status = each.status(ask.now, self.start_seconds)
        reason = {"status_reason": each.failure} if status == "error" else {}
        return {**each.body, "name": each.name, "created_at": int(each.created_at), "status": status, **reason}


def _error(refused: Refused) -> dict[str, Any]:
    """FastAPI's shape; a refused request names the place."""
    if refused.status == 422:
        return {"detail": [{"loc": ["body"], "msg": refused.message, "type": "value_error"}]}
    return {"detail": refused.message}
