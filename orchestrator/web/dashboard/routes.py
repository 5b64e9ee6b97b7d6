"""Routes: the addresses of the pages, and their polls."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from orchestrator.status import Listing, glance, list_jobs
from orchestrator.web.dashboard.run import PAGE_ROWS, look, pages_of
from orchestrator.web.headers import etag, unchanged
from orchestrator.web.pages import ASSETS, page
from orchestrator.web.principal import Principal, principal
from orchestrator.web.program import Program
from orchestrator.web.query import Query

_CACHE = "no-store"  # after a logout, the way back in the browser shows nothing
Who = Annotated[Principal, Depends(principal)]


class Dashboard:
    """Whole pages. A script that polls one takes the part that changes, and gets 304 while nothing did."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.routes = APIRouter(include_in_schema=False)
        self.routes.add_api_route("/", self.run, methods=["GET"])

    async def run(self, request: Request, who: Who) -> Response:
        query, program = Query.of(request.query_params), self._program
        seen = await program.call(glance, program.now(), run_id=query.run or None)
        listing = await self._listing(query)
        if listing is not None and query.page > pages_of(listing.total):
            query = replace(query, page=pages_of(listing.total))
            listing = await self._listing(query)
        view = look(seen, listing, await program.health(), query, program.now())
        tag = etag(f"{ASSETS} {who} {request.state.csrf} {view!r}".encode())
        return unchanged(request, tag, _CACHE) or page(
            request, "dashboard.html", headers={"ETag": tag}, view=view, tag=tag
        )

    async def _listing(self, query: Query) -> Listing | None:
        program, run = self._program, query.run or None
        skip = (query.page - 1) * PAGE_ROWS
        return await program.call(list_jobs, query.selection, program.now(), run_id=run, limit=PAGE_ROWS, skip=skip)
