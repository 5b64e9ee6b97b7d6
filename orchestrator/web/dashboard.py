"""Dashboard: the page for people, and its polls."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from orchestrator import status
from orchestrator.web.headers import etag, unchanged
from orchestrator.web.pages import ASSETS, page
from orchestrator.web.principal import Principal, principal
from orchestrator.web.program import Program
from orchestrator.web.query import Query
from orchestrator.web.view import look

_CACHE = "no-store"  # after a logout, the way back in the browser shows nothing


class Dashboard:
    """One page, whole. A script that polls it takes the part that changes, and gets 304 while nothing did."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.routes = APIRouter(include_in_schema=False)
        self.routes.add_api_route("/", self.show, methods=["GET"])

    async def show(self, request: Request, who: Annotated[Principal, Depends(principal)]) -> Response:
        program, query = self._program, Query.of(request.query_params)
        view = look(await program.call(status.look, program.now()), await program.health(), query, program.now())
        tag = etag(f"{ASSETS} {who} {request.state.csrf} {view!r}".encode())
        return unchanged(request, tag, _CACHE) or page(
            request, "dashboard.html", headers={"ETag": tag}, view=view, tag=tag
        )
