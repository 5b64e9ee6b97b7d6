"""The gate every request goes through: who are you, what shall go wrong, answer. All faults are applied here.

A fault strikes in one of four ways: instead of the answer (`ERROR_BY_FAULT_KIND`), on the wire (drop, lose_answer,
truncate, slow), on the question or the answer (`_distort`, `_twist`), or as a fate laid on the file or job that the
request makes (`DEFERRED_FAULT_KINDS`).
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

from orchestrator.sandbox.api_call import ApiCall, Caller, Handler, authenticate
from orchestrator.sandbox.faults import DEFERRED_FAULT_KINDS, Fault
from orchestrator.sandbox.malformed_lists import MALFORMED_LISTS
from orchestrator.sandbox.response import ApiResponse, SandboxApiError, Send, close_connection, send_response
from orchestrator.sandbox.state import SandboxState

ActiveFaults = dict[str, Fault]
UNKNOWN_ACCOUNT = "?"  # the account of requests whose key is wrong


@dataclass(slots=True)
class RequestPipeline:
    """One operation as an ASGI application."""

    state: SandboxState
    operation: str
    handler: Handler

    async def __call__(self, scope: StarletteScope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        started = self.state.clock()
        try:
            caller = authenticate(request.headers)
        except SandboxApiError as refusal:
            await send_response(refusal.response, self._build_headers(None, started), send)
            self._count_outcome(UNKNOWN_ACCOUNT, str(refusal.response.status))
            return
        with self.state.counts.in_flight(caller.name):
            self._count_outcome(caller.name, await self._process(request, caller, started, send))

    async def _process(self, request: Request, caller: Caller, started: float, send: Send) -> str:
        """Let the request pass with what strikes it; the outcome's name."""
        faults = self.state.faults.draw(caller.name, self.operation)
        if "slow" in faults:
            await asyncio.sleep(faults["slow"].wait_seconds)
        if "stall" in faults:
            await self.state.faults.wait_until_removed(faults["stall"])
        if "drop" in faults:
            await close_connection(request.scope)
            return "dropped"
        try:
            answer = await self._build_response(request, caller, faults)
        except ClientDisconnect:
            return "disconnected"
        if "lose_answer" in faults:
            await close_connection(request.scope)
            return "lost"
        half = "truncate" in faults
        await send_response(answer, self._build_headers(caller, started), send, truncate=half)
        if half:
            await close_connection(request.scope)
        return "truncated" if half else str(answer.status)

    async def _build_response(self, request: Request, caller: Caller, faults: ActiveFaults) -> ApiResponse:
        query = _apply_query_faults(dict(request.query_params), faults)
        now = self.state.clock()
        horizon = now - faults["list_lag"].wait_seconds if "list_lag" in faults else now
        call = ApiCall(
            self.state,
            caller,
            request,
            query,
            now,
            horizon,
            _collect_deferred_faults(faults),
            "file_not_ready" in faults,
        )
        try:
            _raise_error_faults(call, faults)
            answer = await self.handler(call)
        except SandboxApiError as refusal:
            return refusal.response
        _apply_response_faults(answer, faults)
        return answer

    def _build_headers(self, caller: Caller | None, started: float) -> dict[str, str]:
        spent = 1000 * (self.state.clock() - started)
        headers = {
            "x-request-id": f"req_{uuid4().hex}",
            "openai-processing-ms": str(max(0, round(spent))),
            "openai-version": "2020-10-01",
        }
        if caller is not None:
            headers |= {"openai-organization": caller.organization, "openai-project": caller.project}
        return headers

    def _count_outcome(self, account: str, outcome: str) -> None:
        self.state.counts.outcomes[account, self.operation, outcome] += 1


def _rate_limit_error(fault: Fault) -> SandboxApiError:
    message = f"Rate limit reached for requests. Please try again in {fault.wait_seconds:g}s."
    return SandboxApiError(
        429, message, code="rate_limit_exceeded", kind="requests", headers=_build_retry_after(fault)
    )


def _internal_server_error(fault: Fault) -> SandboxApiError:
    message = "The server had an error while processing your request. Sorry about that!"
    return SandboxApiError(500, fault.message or message, kind="server_error")


def _forbidden_error(fault: Fault) -> SandboxApiError:
    message = "Your organization does not have permission to create fine-tuning jobs: permission denied."
    return SandboxApiError(403, fault.message or message, code=fault.code or None)


def _quota_error(fault: Fault) -> SandboxApiError:
    message = "You exceeded your current quota, please check your plan and billing details."
    return SandboxApiError(429, fault.message or message, code="insufficient_quota", kind="insufficient_quota")


def _daily_limit_error(fault: Fault) -> SandboxApiError:
    message = (
        "This fine-tune request has been rate-limited. "
        "Your organization has reached the maximum of requests per 1 day for this model."
    )
    return SandboxApiError(429, message, code="daily_rate_limit_exceeded", headers=_build_retry_after(fault))


ERROR_BY_FAULT_KIND: dict[str, Callable[[Fault], SandboxApiError]] = {
    "rate_limit": _rate_limit_error,
    "server_error": _internal_server_error,
    "forbidden": _forbidden_error,
    "quota": _quota_error,
    "daily_limit": _daily_limit_error,
}


def _raise_error_faults(call: ApiCall, faults: ActiveFaults) -> None:
    """Raise the refusal that a fault puts in the answer's place."""
    for kind in faults:
        if kind in ERROR_BY_FAULT_KIND:
            raise ERROR_BY_FAULT_KIND[kind](faults[kind])
    slots = call.state.settings.max_running_jobs
    if "too_many_jobs" in faults and call.state.count_unfinished_jobs(call.account, call.now) >= slots:
        message = f"Your organization has reached the maximum of {slots} active fine-tuning jobs."
        headers = _build_retry_after(faults["too_many_jobs"])
        raise SandboxApiError(429, message, code="rate_limit_exceeded", kind="requests", headers=headers)


def _apply_query_faults(query: dict[str, str], faults: ActiveFaults) -> dict[str, str]:
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


def _apply_response_faults(response: ApiResponse, faults: ActiveFaults) -> None:
    """The answer as a provider with these faults gives it."""
    if "stuck_cursor" in faults:
        response.body["has_more"] = True
    if "drop_result" in faults:
        response.body["results"].pop()
    if "null_error" in faults:
        for job in response.body.get("data", [response.body]):
            job["error"] = job["error"] or {"code": None, "message": None, "param": None}
    if "malformed_list" in faults:
        response.body = MALFORMED_LISTS[faults["malformed_list"].code](response.body)


def _collect_deferred_faults(faults: ActiveFaults) -> dict[str, dict[str, Any]]:
    return {
        kind: {"seconds": fault.wait_seconds, "code": fault.code, "message": fault.message}
        for kind, fault in faults.items()
        if kind in DEFERRED_FAULT_KINDS
    }


def _build_retry_after(fault: Fault) -> dict[str, str]:
    return {"retry-after": f"{fault.wait_seconds:g}"} if fault.wait_seconds else {}
