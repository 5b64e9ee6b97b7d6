"""What the fakes of providers share: a clock, files, jobs, scriptable faults, and the gate every request passes.

Keys, and the kinds and operations of faults, are the sandbox's: key `sandbox-NAME` is account NAME of `org-NAME`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import uuid4

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from orchestrator.sandbox import Fault
from orchestrator.sandbox.api_call import authenticate
from orchestrator.sandbox.fault_injector import FaultInjector
from orchestrator.sandbox.faults import DEFERRED_FAULT_KINDS
from orchestrator.sandbox.response import SandboxApiError, close_connection

FaultsByKind = dict[str, Fault]


@dataclass(slots=True)
class FakeFile:
    """A file; `content` is None until its bytes have come."""

    id: str
    filename: str
    created_at: float
    fate: FaultsByKind
    content: bytes | None = None
    checksum: str | None = None
    submitted: bool = True
    length: int | None = None  # of a content that was not kept

    @property
    def size(self) -> int:
        return len(self.content or b"") if self.length is None else self.length

    @property
    def sha256(self) -> str:
        return sha256(self.content or b"").hexdigest()

    @property
    def examples(self) -> int:
        return (self.content or b"").count(b"\n")

    def state(self, now: float, seconds: float) -> str:
        """waiting, checking, refused or ready"""
        if self.content is None or not self.submitted:
            return "waiting"
        if now < self.created_at + seconds:
            return "checking"
        return "refused" if "reject_file" in self.fate else "ready"


@dataclass(slots=True)
class FakeJob:
    """A job as it was asked for; what it is at a moment follows from the time."""

    id: str
    created_at: float
    body: dict[str, Any]
    fate: FaultsByKind
    seconds: float
    cancelled_at: float | None = None

    def state(self, now: float) -> str:
        """pending, running, odd, succeeded, failed, cancelled"""
        ended = self.created_at + self.seconds
        if self.cancelled_at is not None and self.cancelled_at < ended:
            return "cancelled"
        if now < self.created_at + self.seconds / 5:
            return "pending"
        if "fail_job" in self.fate and now >= self.created_at + self.seconds / 2:
            return "failed"
        if now < ended:
            return "running"
        odd = self.fate.get("unknown_status")
        return "odd" if odd and now < ended + odd.wait_seconds else "succeeded"

    def shows_model(self, now: float) -> bool:
        late = self.fate.get("no_model_id")
        return self.state(now) == "succeeded" and (
            late is None or now >= self.created_at + self.seconds + late.wait_seconds
        )

    def gone(self, now: float) -> bool:
        vanish = self.fate.get("vanish")
        return vanish is not None and now >= self.created_at + vanish.wait_seconds


@dataclass(slots=True)
class FakeAccount:
    files: dict[str, FakeFile] = field(default_factory=dict)
    jobs: dict[str, FakeJob] = field(default_factory=dict)


@dataclass(slots=True)
class Reply:
    """What a handler answers."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """Raised by a handler in an answer's place."""

    def __init__(self, status: int, message: str, code: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers or {}


@dataclass(slots=True)
class FakeWorld:
    """One provider: its accounts, its faults, its time. `error` puts a refusal into the provider's words."""

    error: Callable[[Refused], Any]  # bytes are sent as they are; a Reply may have headers
    clock: Callable[[], float]
    file_seconds: float = 0.2
    training_seconds: float = 1.0
    book: FaultInjector = field(default_factory=lambda: FaultInjector(seed=1))
    accounts: dict[str, FakeAccount] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def account(self, name: str) -> FakeAccount:
        return self.accounts.setdefault(name, FakeAccount())

    def faults(self, *rules: Fault) -> None:
        self.book.replace(rules)


@dataclass(slots=True)
class FakeRequest:
    """One request as a handler sees it."""

    world: FakeWorld
    name: str
    request: Request
    now: float
    faults: FaultsByKind

    @property
    def account(self) -> FakeAccount:
        return self.world.account(self.name)

    @property
    def fate(self) -> FaultsByKind:
        return {kind: fault for kind, fault in self.faults.items() if kind in DEFERRED_FAULT_KINDS}

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def file(self, file_id: str) -> FakeFile:
        if file_id not in self.account.files:
            raise Refused(404, f"no file {file_id}", "not_found")
        return self.account.files[file_id]

    def job(self, job_id: str) -> FakeJob:
        job = self.account.jobs.get(job_id)
        if job is None or job.gone(self.now):
            raise Refused(404, f"no job {job_id}", "not_found")
        return job

    def new_job(self, job_id: str, body: dict[str, Any]) -> FakeJob:
        job = FakeJob(job_id, self.now, body, self.fate, self.world.training_seconds)
        self.account.jobs[job_id] = job
        return job

    def visible_objects(self, things: Sequence[Any]) -> list[Any]:
        """What a list shows: not what has just been made, where the list lags."""
        lag = self.faults["list_lag"].wait_seconds if "list_lag" in self.faults else 0.0
        return [thing for thing in things if thing.created_at <= self.now - lag]


Handler = Callable[[FakeRequest], Awaitable[Reply]]

REFUSALS_BY_FAULT: dict[str, Callable[[Fault], Refused]] = {
    "rate_limit": lambda fault: Refused(429, "slow down", "rate_limit", {"retry-after": f"{fault.wait_seconds:g}"}),
    "daily_limit": lambda fault: Refused(
        429, "no more today", "rate_limit", {"retry-after": f"{fault.wait_seconds:g}"}
    ),
    "server_error": lambda fault: Refused(500, fault.message or "oh no", "internal"),
    "forbidden": lambda fault: Refused(403, fault.message or "may not train", "permission_denied"),
    "quota": lambda fault: Refused(402, fault.message or "out of credit", "insufficient_quota"),
}


async def identify_by_bearer(request: Request) -> str:
    """The account of a key in a header."""
    try:
        return authenticate(request.headers).name
    except SandboxApiError as refusal:
        raise Refused(401, refusal.response.body["error"]["message"], "unauthenticated") from None


@dataclass(slots=True)
class FaultGate:
    """One operation as an ASGI application. `public` ones need no key."""

    world: FakeWorld
    operation: str
    handler: Handler
    public: bool = False
    identify: Callable[[Request], Awaitable[str]] = identify_by_bearer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            name = "" if self.public else await self.identify(request)
        except Refused as refused:
            return await self._send(self._refuse(refused), send)
        faults = self.world.book.draw(name, self.operation)
        if "slow" in faults:
            await asyncio.sleep(faults["slow"].wait_seconds)
        if "drop" in faults:
            return await close_connection(scope)
        try:
            reply = await self._reply(FakeRequest(self.world, name, request, self.world.clock(), faults))
        except ClientDisconnect:
            return None
        self.world.counts[self.operation, str(reply.status)] += 1
        if "lose_answer" in faults:
            return await close_connection(scope)
        await self._send(reply, send, half="truncate" in faults)
        return await close_connection(scope) if "truncate" in faults else None

    async def _reply(self, ask: FakeRequest) -> Reply:
        try:
            for kind in ask.faults:
                if kind in REFUSALS_BY_FAULT:
                    raise REFUSALS_BY_FAULT[kind](ask.faults[kind])
            return await self.handler(ask)
        except Refused as refused:
            return self._refuse(refused)

    def _refuse(self, refused: Refused) -> Reply:
        error = self.world.error(refused)
        if isinstance(error, Reply):
            return Reply(error.body, refused.status, error.headers | refused.headers)
        return Reply(error, refused.status, refused.headers)

    async def _send(self, reply: Reply, send: Send, *, half: bool = False) -> None:
        raw = isinstance(reply.body, bytes)
        body = reply.body if raw else b"" if reply.body is None else json.dumps(reply.body).encode()
        named = {"content-length": str(len(body)), "x-request-id": f"req_{uuid4().hex}", **reply.headers}
        if body:
            named.setdefault("content-type", "application/json")
        headers = [(name.encode(), value.encode()) for name, value in named.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send(
            {"type": "http.response.body", "body": body[: len(body) // 2] if half else body, "more_body": half}
        )


async def form_of(ask: FakeRequest) -> tuple[dict[str, str], bytes | None]:
    """The fields of a multipart form and the bytes of its file."""
    fields: dict[str, str] = {}
    content = None
    async with ask.request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, str):
                fields[name] = value
            else:
                content = await value.read()
                fields.setdefault("filename", value.filename or "")
    return fields, content
