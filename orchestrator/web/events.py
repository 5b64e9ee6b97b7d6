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
from orchestrator.core.errors import DatabaseAway
from orchestrator.status import Line
from orchestrator.web.documents import Event, EventPage, Kind, Text
from orchestrator.web.door import Door
from orchestrator.web.feed import Feed
from orchestrator.web.forgery import from_elsewhere
from orchestrator.web.problem import Refused, problem
from orchestrator.web.program import Program

CHECK_SECONDS: Final = 5.0
"""Between two checks of the listener's token. A silent stream sends a sign of life as often."""
AGAIN: Final = 2000  # milliseconds until a browser that lost the stream asks again
_STREAM: Final = "text/event-stream"
_LARGEST: Final = 2**31 - 1


class Events:
    """One path: a page to whoever asks for JSON, the stream to whoever accepts one."""

    def __init__(self, program: Program, door: Door) -> None:
        self._program = program
        self._door = door
        self._feed = Feed(program)
        self.routes = APIRouter(tags=["events"])
        self.routes.add_api_route(
            "/events",
            self.show,
            methods=["GET"],
            response_model=EventPage,
            operation_id="events",
            responses={200: {"content": {_STREAM: {"schema": {"type": "string"}}}}},
        )

    async def show(
        self,
        request: Request,
        after: Annotated[int | None, Query(ge=0, le=_LARGEST, description="Only events with larger ids.")] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="Most events of a page.")] = 100,
        account: Annotated[Text, Query(description="Only of this account.")] = "",
        run: Annotated[Text, Query(description="Only of this run.")] = "",
        job: Annotated[Text, Query(description="Only of this job.")] = "",
        last_event_id: Annotated[str, Header(description="Where a stream was lost; goes before `after`.")] = "",
    ) -> Response | EventPage:
        """The history, the oldest first. With `Accept: text/event-stream` it goes on as things happen.

        Each event of the stream has the event's id, so that a lost stream is taken up where it was lost; its name is
        `job`, `account`, `run` or `service`.
        """
        if _STREAM in request.headers.get("Accept", ""):
            heard = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 10 else after
            return self._stream(request, heard, {"account": account, "run": run, "job": job})
        lines = await self._program.call(
            status.events_after, after or 0, limit=limit + 1, account=account, run=run, job=job
        )
        events = [event_of(line) for line in lines[:limit]]
        return EventPage(events=events, next=events[-1].id if len(lines) > limit else None)

    def _stream(self, request: Request, after: int | None, wanted: dict[str, str]) -> Response:
        if from_elsewhere(request):
            return problem(403, "this request was not made on a page of this service", "Open the dashboard itself.")
        lines = self._lines(request, after, {name: value for name, value in wanted.items() if value})
        return _EventStream(self._feed, lines)

    async def _lines(self, request: Request, after: int | None, wanted: dict[str, str]) -> AsyncIterator[str]:
        now = asyncio.get_running_loop().time
        # No blank line after it: by itself it would be an event without data, on which strict clients stumble.
        yield f"retry: {AGAIN}\n"
        checked = now()
        with suppress(DatabaseAway, Refused):  # the stream ends, and is taken up again
            async with aclosing(self._feed.listen(after, CHECK_SECONDS)) as heard:
                async for lines in heard:
                    if not lines or now() - checked >= CHECK_SECONDS:
                        if await self._door.who(request) is None:
                            return  # the session is over, or its token revoked
                        checked = now()
                    yield _text(lines, wanted) or ": still here\n"


class _EventStream(StreamingResponse):
    """The stream, or the answer that there is no place for another one.

    The place is taken here and not in the route: only from here on is it certain that it is given back.
    """

    def __init__(self, feed: Feed, lines: AsyncIterator[str]) -> None:
        super().__init__(lines, media_type=_STREAM, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._feed.full:
            hint = "Close a dashboard that nobody looks at, or ask for pages of JSON instead."
            full = problem(503, "too many listen already", hint, headers={"Retry-After": "10"})
            await full(scope, receive, send)
            return
        with self._feed.admitted():
            await super().__call__(scope, receive, send)


def event_of(line: Line) -> Event:
    """A line of the history as it is told."""
    return Event(
        id=line.id,
        at=status.iso(line.at) or "",
        kind=_kind(line),
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


def _kind(line: Line) -> Kind:
    if line.job_id:
        return "job"
    if line.account:
        return "account"
    return "run" if line.run_id else "service"


def _text(lines: Sequence[Line], wanted: dict[str, str]) -> str:
    events = (event_of(line) for line in lines)
    return "".join(
        f"id: {event.id}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"
        for event in events
        if all(getattr(event, name) == value for name, value in wanted.items())
    )
