"""The route `/api/v1/events`: the event history as JSON pages or as a stream of server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from functools import lru_cache
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from orchestrator import status
from orchestrator.aio import SingleFlight
from orchestrator.core.access_token import AccessToken
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.status import StoredEvent
from orchestrator.web.api import API_PREFIX
from orchestrator.web.api.event_broadcaster import MAX_RECENT_EVENTS, EventBroadcaster
from orchestrator.web.api.schemas.jobs_and_runs import EventKind, EventPageSchema, EventSchema, ShortText
from orchestrator.web.auth.authenticator import Authenticator
from orchestrator.web.auth.csrf import is_cross_site
from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import ProblemError, problem_response

TOKEN_CHECK_SECONDS: Final = 4.0
"""Seconds between two checks of the client's token. A stream without events sends a keep-alive as often."""
TOKEN_LIST_SECONDS: Final = 1.0
"""Age of the list of tokens that the checks of all streams share: a revoked token is known after the sum of both."""
RECONNECT_MILLISECONDS: Final = 2000  # sent to the browser, which waits this long before it reconnects
_EVENT_STREAM_MEDIA_TYPE: Final = "text/event-stream"
_MAX_EVENT_ID: Final = 2**31 - 1


class EventRoutes:
    """One route: returns a page of JSON, or a stream to a client that accepts `text/event-stream`."""

    def __init__(self, backend: WebBackend, authenticator: Authenticator) -> None:
        self._backend = backend
        self._authenticator = authenticator
        self._broadcaster = EventBroadcaster(backend)
        self._tokens = _SharedTokenList(backend)
        self.router = APIRouter(prefix=API_PREFIX, tags=["events"])
        self.router.add_api_route(
            "/events",
            self.list_or_stream_events,
            methods=["GET"],
            response_model=EventPageSchema,
            operation_id="list_events",
            responses={200: {"content": {_EVENT_STREAM_MEDIA_TYPE: {"schema": {"type": "string"}}}}},
        )

    async def list_or_stream_events(
        self,
        request: Request,
        after: Annotated[
            int | None, Query(ge=0, le=_MAX_EVENT_ID, description="Only events with larger ids.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="Maximum number of events per page.")] = 100,
        account: Annotated[ShortText, Query(description="Only events of this account.")] = "",
        run: Annotated[ShortText, Query(description="Only events of the run with this id, or this name.")] = "",
        job: Annotated[ShortText, Query(description="Only events of this job.")] = "",
        last_event_id: Annotated[
            str, Header(description="Last event id received (SSE reconnect); takes precedence over `after`.")
        ] = "",
    ) -> Response | EventPageSchema:
        """List events, oldest first, or stream new ones with `Accept: text/event-stream`.

        Each event of the stream carries the event id, so that a client can resume after a lost connection. The event
        name is `job`, `deployment`, `comparison`, `account`, `run` or `service`.
        """
        if _EVENT_STREAM_MEDIA_TYPE in request.headers.get("Accept", ""):
            resume_after = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 10 else after
            event_filter = _EventFilter(self._backend, account=account, run=run, job=job)
            return self._build_stream_response(request, resume_after, event_filter)
        rows = await self._backend.call_with_database(
            status.list_events_after, after or 0, limit=limit + 1, account=account, run=run, job=job
        )
        events = [build_event(row) for row in rows[:limit]]
        return EventPageSchema(events=events, next=events[-1].id if len(rows) > limit else None)

    def _build_stream_response(self, request: Request, after: int | None, event_filter: _EventFilter) -> Response:
        if is_cross_site(request):
            return problem_response(
                403, "Cross-site request rejected.", "Open the stream from a page of the same origin."
            )
        return _EventStreamResponse(self._broadcaster, self._stream_text(request, after, event_filter))

    async def _stream_text(
        self, request: Request, after: int | None, event_filter: _EventFilter
    ) -> AsyncIterator[str]:
        now = asyncio.get_running_loop().time
        # No blank line follows: it would make this line an event without data, which strict clients reject.
        yield f"retry: {RECONNECT_MILLISECONDS}\n"
        checked_at = now()
        with suppress(DatabaseUnavailable, ProblemError):  # the stream ends; the client reconnects
            async with aclosing(self._broadcaster.listen(after, TOKEN_CHECK_SECONDS)) as batches:
                async for entries in batches:
                    if not entries or now() - checked_at >= TOKEN_CHECK_SECONDS:
                        if await self._authenticator.authenticate(request, await self._tokens.get()) is None:
                            return  # the session has expired or the token was revoked: a stream must not outlive it
                        checked_at = now()
                    selected = await event_filter.select(entries)
                    yield "".join(map(_format_event, selected)) or ": keep-alive\n"


class _EventFilter:
    """Selects the events of one account, run or job for one stream. Empty: all of them."""

    def __init__(self, backend: WebBackend, *, account: str, run: str, job: str) -> None:
        self._backend = backend
        self._account, self._run, self._job = account, run, job
        self._run_ids: frozenset[str] = frozenset()
        """The runs with this name or id."""
        self._known_run_ids: set[str] = set()
        """The runs of all events so far."""

    async def select(self, entries: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        """Return the selected events."""
        new = {entry.run_id for entry in entries if entry.run_id} - self._known_run_ids
        if self._run and new:  # a run with this name may have begun since
            self._run_ids = await self._backend.call_with_database(status.list_run_ids, self._run)
            self._known_run_ids |= new
        return [
            entry
            for entry in entries
            if (not self._account or entry.account == self._account)
            and (not self._run or entry.run_id in self._run_ids)
            and (not self._job or entry.job_id == self._job)
        ]


class _SharedTokenList:
    """Reads the access tokens once for the checks of all streams: a query for each would be one for each viewer."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self._flights = SingleFlight[str, None]()
        self._tokens: Sequence[AccessToken] = ()
        self._read_at: float | None = None
        """On the event loop's clock; None before the first read."""

    async def get(self) -> Sequence[AccessToken]:
        """Return the tokens as they were at most TOKEN_LIST_SECONDS ago."""
        if self._read_at is None or _get_loop_time() - self._read_at >= TOKEN_LIST_SECONDS:
            await self._flights.run("tokens", self._read)
        return self._tokens

    async def _read(self) -> None:
        now = _get_loop_time()
        self._tokens = await self._backend.list_tokens()
        self._read_at = now  # stored before a stream that comes now looks at it


def _get_loop_time() -> float:
    return asyncio.get_running_loop().time()


class _EventStreamResponse(StreamingResponse):
    """Streams the events, or answers 503 if there are too many streams.

    The slot is acquired here and not in the route, because only here is it certain that it is released again: a
    client that disconnects between the route and this call would otherwise occupy a slot forever.
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
            hint = "Close unused dashboards, or request JSON pages instead of the stream."
            full = problem_response(503, "Too many event-stream clients.", hint, headers={"Retry-After": "10"})
            await full(scope, receive, send)
            return
        with self._broadcaster.acquire_slot():
            await super().__call__(scope, receive, send)


def build_event(entry: StoredEvent) -> EventSchema:
    """Convert an event of the history to its API form."""
    return EventSchema(
        id=entry.id,
        at=status.format_iso(entry.at) or "",
        kind=_event_kind(entry),
        note=entry.note,
        cause=entry.cause,
        account=entry.account,
        run=entry.run_id,
        job=entry.job_id,
        deployment=entry.deployment_id,
        comparison=entry.comparison_id,
        state_before=entry.state_before,
        state=entry.state_after,
        attempt=entry.attempt,
        remote_job_id=entry.remote_job_id,
        request_id=entry.request_id,
        message=entry.message,
    )


def _event_kind(entry: StoredEvent) -> EventKind:
    if entry.deployment_id:
        return "deployment"
    if entry.comparison_id:
        return "comparison"
    if entry.job_id:
        return "job"
    if entry.account:
        return "account"
    return "run" if entry.run_id else "service"


@lru_cache(maxsize=MAX_RECENT_EVENTS)  # fifty viewers receive the same event at about the same time
def _format_event(entry: StoredEvent) -> str:
    event = build_event(entry)
    return f"id: {event.id}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"
