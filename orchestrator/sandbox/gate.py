"""The gate every request goes through: who are you, what shall go wrong, answer. All faults are applied here.

A fault strikes in one of four ways: instead of the answer (`REFUSALS`), on the wire (drop, lose_answer, truncate,
slow), on the question or the answer (`_distort`, `_twist`), or as a fate laid on
the file or job that the request makes (`FATES`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive
from starlette.types import Scope as StarletteScope

from orchestrator.sandbox.answer import Answer, Refusal, Send, cut, deliver
from orchestrator.sandbox.call import Call, Handler
from orchestrator.sandbox.caller import Caller, identify
from orchestrator.sandbox.faults import FATES, Fault
from orchestrator.sandbox.malformed import MALFORMED
from orchestrator.sandbox.world import World

Faults = dict[str, Fault]
NOBODY = "?"  # the account of requests whose key is wrong


@dataclass(slots=True)
class Gate:
    """One operation as an ASGI application."""

    world: World
    operation: str
    handler: Handler

    async def __call__(self, scope: StarletteScope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        started = self.world.clock()
        try:
            caller = identify(request.headers)
        except Refusal as refusal:
            await deliver(refusal.answer, self._headers(None, started), send)
            self._count(NOBODY, str(refusal.answer.status))
            return
        with self.world.counts.in_flight(caller.name):
            self._count(caller.name, await self._admit(request, caller, started, send))

    async def _admit(self, request: Request, caller: Caller, started: float, send: Send) -> str:
        """Let the request pass with what strikes it; the outcome's name."""
        faults = self.world.faults.draw(caller.name, self.operation)
        if "slow" in faults:
            await asyncio.sleep(faults["slow"].wait)
        if "stall" in faults:
            await self.world.faults.wait_until_removed(faults["stall"])
        if "drop" in faults:
            await cut(request.scope)
            return "dropped"
        try:
            answer = await self._answer(request, caller, faults)
        except ClientDisconnect:
            return "disconnected"
        if "lose_answer" in faults:
            await cut(request.scope)
            return "lost"
        half = "truncate" in faults
        await deliver(answer, self._headers(caller, started), send, half=half)
        if half:
            await cut(request.scope)
        return "truncated" if half else str(answer.status)

    async def _answer(self, request: Request, caller: Caller, faults: Faults) -> Answer:
        query = _distort(dict(request.query_params), faults)
        now = self.world.clock()
        horizon = now - faults["list_lag"].wait if "list_lag" in faults else now
        call = Call(self.world, caller, request, query, now, horizon, _fate(faults), "file_not_ready" in faults)
        try:
            _refuse(call, faults)
            answer = await self.handler(call)
        except Refusal as refusal:
            return refusal.answer
        _twist(answer, faults)
        return answer

    def _headers(self, caller: Caller | None, started: float) -> dict[str, str]:
        spent = 1000 * (self.world.clock() - started)
        headers = {
            "x-request-id": f"req_{uuid4().hex}",
            "openai-processing-ms": str(max(0, round(spent))),
            "openai-version": "2020-10-01",
        }
        if caller is not None:
            headers |= {"openai-organization": caller.organization, "openai-project": caller.project}
        return headers

    def _count(self, account: str, outcome: str) -> None:
        self.world.counts.outcomes[account, self.operation, outcome] += 1


def _rate_limit(fault: Fault) -> Refusal:
    message = f"Rate limit reached for requests. Please try again in {fault.wait:g}s."
    return Refusal(429, message, code="rate_limit_exceeded", kind="requests", headers=_retry_after(fault))


def _server_error(fault: Fault) -> Refusal:
    message = "The server had an error while processing your request. Sorry about that!"
    return Refusal(500, fault.message or message, kind="server_error")


def _forbidden(fault: Fault) -> Refusal:
    message = "Your organization does not have permission to create fine-tuning jobs: permission denied."
    return Refusal(403, fault.message or message, code=fault.code or None)


def _quota(fault: Fault) -> Refusal:
    message = "You exceeded your current quota, please check your plan and billing details."
    return Refusal(429, fault.message or message, code="insufficient_quota", kind="insufficient_quota")


def _daily_limit(fault: Fault) -> Refusal:
    message = (
        "This fine-tune request has been rate-limited. "
        "Your organization has reached the maximum of requests per 1 day for this model."
    )
    return Refusal(429, message, code="daily_rate_limit_exceeded", headers=_retry_after(fault))


REFUSALS: dict[str, Callable[[Fault], Refusal]] = {
    "rate_limit": _rate_limit,
    "server_error": _server_error,
    "forbidden": _forbidden,
    "quota": _quota,
    "daily_limit": _daily_limit,
}


def _refuse(call: Call, faults: Faults) -> None:
    """Raise the refusal that a fault puts in the answer's place."""
    for kind in faults:
        if kind in REFUSALS:
            raise REFUSALS[kind](faults[kind])
    slots = call.world.settings.max_running_jobs
    if "too_many_jobs" in faults and call.world.unfinished_jobs(call.account, call.now) >= slots:
        message = f"Your organization has reached the maximum of {slots} active fine-tuning jobs."
        headers = _retry_after(faults["too_many_jobs"])
        raise Refusal(429, message, code="rate_limit_exceeded", kind="requests", headers=headers)


def _distort(query: dict[str, str], faults: Faults) -> dict[str, str]:
    """The question as a provider with these faults understands it."""
    if "ignore_metadata_filter" in faults:
        query = {key: value for key, value in query.items() if not key.startswith("metadata")}
    if "stuck_cursor" in faults:
        query.pop("after", None)
    if "page_size" in faults:
        asked = query.get("limit", "")
        size = faults["page_size"].size
        query["limit"] = str(min(int(asked), size) if asked.isdecimal() else size)
    return query


def _twist(answer: Answer, faults: Faults) -> None:
    """The answer as a provider with these faults gives it."""
    if "stuck_cursor" in faults:
        answer.body["has_more"] = True
    if "drop_result" in faults:
        answer.body["results"].pop()
    if "null_error" in faults:
        for job in answer.body.get("data", [answer.body]):
            job["error"] = job["error"] or {"code": None, "message": None, "param": None}
    if "malformed_list" in faults:
        answer.body = MALFORMED[faults["malformed_list"].code](answer.body)


def _fate(faults: Faults) -> dict[str, dict[str, Any]]:
    return {
        kind: {"seconds": fault.wait, "code": fault.code, "message": fault.message}
        for kind, fault in faults.items()
        if kind in FATES
    }


def _retry_after(fault: Fault) -> dict[str, str]:
    return {"retry-after": f"{fault.wait:g}"} if fault.wait else {}
