"""Api: the web application, and what it answers to programs."""

from __future__ import annotations

import json
from dataclasses import asdict

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from orchestrator.status import as_json, look
from orchestrator.web.actions import Actions
from orchestrator.web.dashboard.routes import Dashboard
from orchestrator.web.door import Door
from orchestrator.web.guard import Guard
from orchestrator.web.headers import etag, unchanged
from orchestrator.web.login import Login
from orchestrator.web.pages import STATIC_FOLDER
from orchestrator.web.problem import explain_errors
from orchestrator.web.program import Program
from orchestrator.web.scrape import Scrape
from orchestrator.web.webhooks import Webhooks


def create_web(program: Program) -> FastAPI:
    """The application. Where there is a token, all but the two probes needs one; else only this machine is served."""
    door = Door(program)
    app = FastAPI(title="orchestrator", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(Api(program).routes)
    app.include_router(Actions(program).routes, prefix="/api/v1")
    app.include_router(Scrape(program).routes)
    app.include_router(Dashboard(program).routes)
    app.include_router(Login(door).routes)
    app.include_router(Webhooks(program).routes)
    app.mount("/static", StaticFiles(directory=STATIC_FOLDER))
    app.add_middleware(Guard, door=door)
    explain_errors(app)
    return app


class Api:
    """The read model as JSON, and two probes."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.routes = APIRouter()
        self.routes.add_api_route("/status", self.status, methods=["GET"])
        self.routes.add_api_route("/healthz", self.healthz, methods=["GET"])
        self.routes.add_api_route("/readyz", self.readyz, methods=["GET"])

    async def status(self, request: Request) -> Response:
        """The whole picture. `problem` is why the accounts file as it is now is not in force."""
        problem = (await self._program.health()).problem
        document = as_json(await self._program.call(look, self._program.now())) | {
            "problem": asdict(problem) if problem else None
        }
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        tag = etag(body)
        return unchanged(request, tag, "no-cache") or Response(
            body, media_type="application/json", headers={"ETag": tag, "Cache-Control": "no-cache"}
        )

    async def healthz(self) -> Response:
        """The process lives."""
        return JSONResponse({"alive": True}, headers={"Cache-Control": "no-store"})

    async def readyz(self) -> Response:
        """The service can do its work, or which part cannot."""
        health = await self._program.health()
        answer = {"ready": health.ready, "database": health.database, "ticking": health.ticking}
        return JSONResponse(answer, 200 if health.ready else 503, {"Cache-Control": "no-store"})
