"""Events: the history of everything, as pages or as it happens (server-sent events)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from orchestrator import status
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.status import StoredEvent
from orchestrator.web.api.event_broadcaster import EventBroadcaster
from orchestrator.web.api.schemas.jobs_and_runs import EventKind, EventPageSchema, EventSchema, ShortText
from orchestrator.web.auth.authenticator import Authenticator
from orchestrator.web.auth.csrf import is_cross_site
from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import ProblemError, problem_response

TOKEN_CHECK_SECONDS: Final = 5.0
"""Between two checks of the listener's token. A silent stream sends a sign of life as often."""
RECONNECT_MILLISECONDS: Final = 2000  # milliseconds until a browser that lost the stream asks again
_EVENT_STREAM_MEDIA_TYPE: Final = "text/event-stream"
_MAX_EVENT_ID: Final = 2**31 - 1


class EventRoutes:
    """One path: a page to whoever asks for JSON, the stream to whoever accepts one."""

    def __init__(self, backend: WebBackend, authenticator: Authenticator) -> None:
        self._backend = backend
        self._authenticator = authenticator
        self._broadcaster = EventBroadcaster(backend)
        self.router = APIRouter(tags=["events"])
        self.router.add_api_route(
            "/events",
            self.list_or_stream_events,
            methods=["GET"],
            response_model=EventPageSchema,
            operation_id="events",
            responses={200: {"content": {_EVENT_STREAM_MEDIA_TYPE: {"schema": {"type": "string"}}}}},
        )

    async def list_or_stream_events(
        self,
        request: Request,
        after: Annotated[
            int | None, Query(ge=0, le=_MAX_EVENT_ID, description="Only events with larger ids.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="Most events of a page.")] = 100,
        account: Annotated[ShortText, Query(description="Only of this account.")] = "",
        run: Annotated[ShortText, Query(description="Only of this run.")] = "",
        job: Annotated[ShortText, Query(description="Only of this job.")] = "",
        last_event_id: Annotated[str, Header(description="Where a stream was lost; goes before `after`.")] = "",
    ) -> Response | EventPageSchema:
        """The history, the oldest first. With `Accept: text/event-stream` it goes on as things happen.

        Each event of the stream has the event's id, so that a lost stream is taken up where it was lost; its name is
        `job`, `account`, `run` or `service`.
        """
        if _EVENT_STREAM_MEDIA_TYPE in request.headers.get("Accept", ""):
            heard = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 10 else after
            return self._build_stream_response(request, heard, {"account": account, "run": run, "job": job})
        lines = await self._backend.call_with_database(
            status.list_events_after, after or 0, limit=limit + 1, account=account, run=run, job=job
        )
        events = [build_event(line) for line in lines[:limit]]
        return EventPageSchema(events=events, next=events[-1].id if len(lines) > limit else None)

    def _build_stream_response(self, request: Request, after: int | None, filters: dict[str, str]) -> Response:
        if is_cross_site(request):
            return problem_response(
                403, "this request was not made on a page of this service", "Open the dashboard itself."
            )
        lines = self._stream_text(request, after, {name: value for name, value in filters.items() if value})
        return _EventStreamResponse(self._broadcaster, lines)

    async def _stream_text(self, request: Request, after: int | None, filters: dict[str, str]) -> AsyncIterator[str]:
        now = asyncio.get_running_loop().time
        # No blank line after it: by itself it would be an event without data, on which strict clients stumble.
        yield f"retry: {RECONNECT_MILLISECONDS}\n"
        checked = now()
        with suppress(DatabaseUnavailable, ProblemError):  # the stream ends, and is taken up again
            async with aclosing(self._broadcaster.listen(after, TOKEN_CHECK_SECONDS)) as heard:
                async for lines in heard:
                    if not lines or now() - checked >= TOKEN_CHECK_SECONDS:
                        if await self._authenticator.authenticate(request) is None:
                            return  # the session is over, or its token revoked
                        checked = now()
                    yield _format_server_sent_events(lines, filters) or ": still here\n"


class _EventStreamResponse(StreamingResponse):
    """The stream, or the answer that there is no place for another one.

    The place is taken here and not in the route: only from here on is it certain that it is given back.
    """

    def __init__(self, broadcaster: EventBroadcaster, lines: AsyncIterator[str]) -> None:
        super().__init__(
            lines,
            media_type=_EVENT_STREAM_MEDIA_TYPE,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._broadcaster = broadcaster

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._broadcaster.is_full:
            hint = "Close a dashboard that nobody looks at, or ask for pages of JSON instead."
            full = problem_response(503, "too many listen already", hint, headers={"Retry-After": "10"})
            await full(scope, receive, send)
            return
        with self._broadcaster.acquire_slot():
            await super().__call__(scope, receive, send)


def build_event(line: StoredEvent) -> EventSchema:
    """A line of the history as it is told."""
    return EventSchema(
        id=line.id,
        at=status.format_iso(line.at) or "",
        kind=_event_kind(line),
        note=line.note,
        cause=line.cause,
        account=line.account,
        run=line.run_id,
        job=line.job_id,
        state_before=line.state_before,
        state=line.state_after,
        attempt=line.attempt,
        remote_job_id=line.remote_job_id,
        request_id=line.request_id,
        message=line.message,
    )


def _event_kind(line: StoredEvent) -> EventKind:
    if line.job_id:
        return "job"
    if line.account:
        return "account"
    return "run" if line.run_id else "service"


def _format_server_sent_events(lines: Sequence[StoredEvent], filters: dict[str, str]) -> str:
    events = (build_event(line) for line in lines)
    return "".join(
        f"id: {event.id}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"
        for event in events
        if all(getattr(event, name) == value for name, value in filters.items())
    )
