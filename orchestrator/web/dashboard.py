"""Dashboard: the page for people, and its polls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from orchestrator.status import Health, Status
from orchestrator.web.door import Door, Role
from orchestrator.web.headers import etag, unchanged
from orchestrator.web.pages import ASSETS, page
from orchestrator.web.query import Query
from orchestrator.web.view import look

_CACHE = "no-store"  # after a logout, the way back in the browser shows nothing


class Dashboard:
    """One page, whole. A script that polls it takes the part that changes, and gets 304 while nothing did."""

    def __init__(
        self,
        status: Callable[[], Awaitable[Status]],
        health: Callable[[], Awaitable[Health]],
        now: Callable[[], float],
        door: Door,
    ) -> None:
        self._status = status
        self._health = health
        self._now = now
        self._door = door
        self.routes = APIRouter()
        self.routes.add_api_route("/", self.show, methods=["GET"])

    async def show(self, request: Request) -> Response:
        query = Query.of(request.query_params)
        view = look(await self._status(), await self._health(), query, self._now())
        role: Role = request.state.role
        tag = etag(f"{ASSETS} {role} {view!r}".encode())
        return unchanged(request, tag, _CACHE) or page(
            "dashboard.html", headers={"ETag": tag}, view=view, tag=tag, role=role, locked=self._door.locked
        )
