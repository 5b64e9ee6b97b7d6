"""Api: the web application, and what it answers to programs."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from orchestrator.status import Document
from orchestrator.web.actions import Actions
from orchestrator.web.dashboard.routes import Dashboard
from orchestrator.web.deliveries import Deliveries
from orchestrator.web.documents import Alive, Ready, Whole
from orchestrator.web.door import Door
from orchestrator.web.events import Events
from orchestrator.web.guard import Guard
from orchestrator.web.headers import etag, unchanged
from orchestrator.web.login import Login
from orchestrator.web.openapi import describe
from orchestrator.web.pages import STATIC_FOLDER
from orchestrator.web.problem import explain_errors
from orchestrator.web.program import Program
from orchestrator.web.reading import Reading
from orchestrator.web.scrape import Scrape
from orchestrator.web.webhooks import Webhooks


def create_web(program: Program) -> FastAPI:
    """The application. Where there is a token, all but the two probes needs one; else only this machine is served."""
    door = Door(program)
    app = FastAPI(title="orchestrator", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(Api(program).routes)
    app.include_router(Scrape(program).routes)
    for part in (Reading(program), Deliveries(program), Events(program, door), Actions(program)):
        app.include_router(part.routes, prefix="/api/v1")
    describe(app)
    app.include_router(Dashboard(program).routes)
    app.include_router(Login(door).routes)
    app.include_router(Webhooks(program).routes)
    app.mount("/static", StaticFiles(directory=STATIC_FOLDER))
    app.add_middleware(Guard, door=door)
    explain_errors(app)
    return app


Answers = dict[int | str, dict[str, Any]]


class Api:
    """The read model as JSON, and two probes."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._document = Document()
        self._told = b"", ""
        self.routes = APIRouter(tags=["status"])
        add = partial(self.routes.add_api_route, methods=["GET"])
        held: Answers = {304: {"description": "Nothing has changed since the answer with that `ETag`."}}
        add("/status", self.status, response_model=Whole, responses=held, operation_id="status")
        add("/healthz", self.healthz, response_model=Alive, operation_id="healthz")
        not_ready: Answers = {503: {"model": Ready, "description": "What it cannot do now."}}
        add("/readyz", self.readyz, response_model=Ready, responses=not_ready, operation_id="readyz")

    async def status(self, request: Request) -> Response:
        """The whole picture in one answer: the current run and every job of it."""
        problem = (await self._program.health()).problem
        body = await self._program.call(self._document.read, problem, self._program.now())
        if body is not self._told[0]:
            self._told = body, await asyncio.to_thread(etag, body)
        body, tag = self._told
        return unchanged(request, tag, "no-cache") or Response(
            body, media_type="application/json", headers={"ETag": tag, "Cache-Control": "no-cache"}
        )

    async def healthz(self) -> Response:
        """The process lives."""
        return JSONResponse({"alive": True}, headers={"Cache-Control": "no-store"})

    async def readyz(self) -> Response:
        """The service can do its work, or which part cannot."""
        health = await self._program.health()
        answer = {name: getattr(health, name) for name in ("ready", "database", "ticking", "reason")}
        return JSONResponse(answer, 200 if health.ready else 503, {"Cache-Control": "no-store"})
