"""The pipeline of a request: authenticate, draw faults, call the handler, send the response, count the outcome."""

# Theory of operation
#
# All faults are applied here, so that a handler implements only the provider's normal behaviour. A fault takes effect
# at one of four points:
#
#   1. on the connection, before the handler runs: slow, stall, drop. After `drop` the request has had no effect.
#   2. in place of the handler: the errors of ERROR_BY_FAULT_KIND, and too_many_jobs.
#   3. on the query (_apply_query_faults) or on the response (_apply_response_faults).
#   4. on the connection, after the handler ran: lose_answer, truncate. The request HAS taken effect, but the client
#      cannot know it. This is the case for which the program looks jobs up before it creates one.
#
# Deferred faults are passed to the handler, which stores them with the file or job that it creates.

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive
from starlette.types import Scope as StarletteScope

from orchestrator.sandbox.api_call import ApiCall, Caller, Handler, authenticate
from orchestrator.sandbox.faults import DEFERRED_FAULT_KINDS, MALFORMED_LISTS, Fault
from orchestrator.sandbox.response import ApiResponse, SandboxApiError, Send, close_connection, send_response
from orchestrator.sandbox.state import SandboxState

ActiveFaults = dict[str, Fault]
UNKNOWN_ACCOUNT = "?"  # counts requests with an invalid key


class RequestPipeline(Struct):
    """One operation as an ASGI application."""

    state: SandboxState
    operation: str
    handler: Handler

    async def __call__(self, scope: StarletteScope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        started = self.state.clock()
        try:
            caller = authenticate(request.headers)
        except SandboxApiError as error:
            await send_response(error.response, self._build_headers(None, started), send)
            self._count_outcome(UNKNOWN_ACCOUNT, str(error.response.status))
            return
        with self.state.counts.in_flight(caller.name):
            self._count_outcome(caller.name, await self._process(request, caller, started, send))

    async def _process(self, request: Request, caller: Caller, started: float, send: Send) -> str:
        """Process the request with its faults, and return the name of the outcome for the counters."""
        faults = self.state.faults.draw(caller.name, self.operation)
        if "slow" in faults:
            await asyncio.sleep(faults["slow"].wait_seconds)
        if "stall" in faults:
            await self.state.faults.wait_until_removed(faults["stall"])
        if "drop" in faults:
            await close_connection(request.scope)
            return "dropped"
        try:
            response = await self._build_response(request, caller, faults)
        except ClientDisconnect:
            return "disconnected"
        if "lose_answer" in faults:
            await close_connection(request.scope)
            return "lost"
        truncate = "truncate" in faults
        await send_response(response, self._build_headers(caller, started), send, truncate=truncate)
        if truncate:
            await close_connection(request.scope)
        return "truncated" if truncate else str(response.status)

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
            response = await self.handler(call)
        except SandboxApiError as error:
            return error.response
        _apply_response_faults(response, faults)
        return response

    def _build_headers(self, caller: Caller | None, started: float) -> dict[str, str]:
        duration_ms = 1000 * (self.state.clock() - started)
        headers = {
            "x-request-id": f"req_{uuid4().hex}",
            "openai-processing-ms": str(max(0, round(duration_ms))),
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
    """Raise the error that a fault returns in place of the response."""
    for kind in faults:
        if kind in ERROR_BY_FAULT_KIND:
            raise ERROR_BY_FAULT_KIND[kind](faults[kind])
    slots = call.state.settings.max_running_jobs
    if "too_many_jobs" in faults and call.state.count_unfinished_jobs(call.account, call.now) >= slots:
        message = f"Your organization has reached the maximum of {slots} active fine-tuning jobs."
        headers = _build_retry_after(faults["too_many_jobs"])
        raise SandboxApiError(429, message, code="rate_limit_exceeded", kind="requests", headers=headers)


def _apply_query_faults(query: dict[str, str], faults: ActiveFaults) -> dict[str, str]:
    """Return the query as a provider with these faults reads it."""
    if "ignore_metadata_filter" in faults:
        query = {key: value for key, value in query.items() if not key.startswith("metadata")}
    if "stuck_cursor" in faults:
        query.pop("after", None)
    if "page_size" in faults:
        limit = query.get("limit", "")
        size = faults["page_size"].size
        query["limit"] = str(min(int(limit), size) if limit.isdecimal() else size)
    return query


def _apply_response_faults(response: ApiResponse, faults: ActiveFaults) -> None:
    """Change the response as a provider with these faults sends it."""
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
