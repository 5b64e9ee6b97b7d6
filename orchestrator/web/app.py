"""Builds the web application: all routers, the security middleware and the error handlers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.routing import BaseRoute

from orchestrator.status import EncodedStatus, StatusCache
from orchestrator.web.api.actions import ActionRoutes
from orchestrator.web.api.comparison_requests import ComparisonRequestRoutes
from orchestrator.web.api.comparisons import ComparisonRoutes
from orchestrator.web.api.dataset_examples import DatasetExampleRoutes
from orchestrator.web.api.deliveries import DeliveryRoutes
from orchestrator.web.api.deployments import DeploymentRoutes
from orchestrator.web.api.events import EventRoutes
from orchestrator.web.api.metrics import MetricsRoutes
from orchestrator.web.api.openapi import add_openapi_route
from orchestrator.web.api.resources import ResourceRoutes
from orchestrator.web.api.run_details import RunDetailRoutes
from orchestrator.web.api.schemas.jobs_and_runs import (
    Liveness,
    Readiness,
    RunsStatusDocument,
    ShortText,
    StatusDocument,
)
from orchestrator.web.api.webhooks import WebhookRoutes
from orchestrator.web.auth.authenticator import Authenticator
from orchestrator.web.auth.login import LoginRoutes
from orchestrator.web.auth.middleware import SecurityMiddleware
from orchestrator.web.backend import WebBackend
from orchestrator.web.dashboard.comparisons.comparison_action_routes import ComparisonActionRoutes
from orchestrator.web.dashboard.comparisons.comparison_routes import ComparisonPageRoutes
from orchestrator.web.dashboard.dataset_routes import DatasetRoutes
from orchestrator.web.dashboard.deployments.deployment_routes import DeploymentPageRoutes
from orchestrator.web.dashboard.routes import DashboardRoutes
from orchestrator.web.headers import not_modified_response
from orchestrator.web.page_renderer import STATIC_FOLDER
from orchestrator.web.problem import ProblemError, add_error_handlers


def create_app(backend: WebBackend) -> FastAPI:
    """Build the application.

    With at least one access token, every route needs one, except the probes, the login page, static files and signed
    webhooks. Without any, only clients on this machine are served.
    """
    authenticator = Authenticator(backend)
    routes = _list_routes(backend, authenticator)
    app = FastAPI(
        title="orchestrator", routes=routes, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    add_openapi_route(app)
    app.mount("/static", StaticFiles(directory=STATIC_FOLDER))
    app.add_middleware(SecurityMiddleware, authenticator=authenticator)
    add_error_handlers(app)
    return app


def _list_routes(backend: WebBackend, authenticator: Authenticator) -> list[BaseRoute]:
    """List the routes of all parts with their full paths.

    The application gets the routes, not the routers: of an included router FastAPI builds each route a second time.
    """
    parts = (
        StatusRoutes(backend),
        MetricsRoutes(backend),
        ResourceRoutes(backend),
        RunDetailRoutes(backend),
        DatasetExampleRoutes(backend),
        DeliveryRoutes(backend),
        DeploymentRoutes(backend),
        ComparisonRoutes(backend),
        ComparisonRequestRoutes(backend),
        EventRoutes(backend, authenticator),
        ActionRoutes(backend),
        DashboardRoutes(backend),
        DatasetRoutes(backend),
        DeploymentPageRoutes(backend),
        ComparisonPageRoutes(backend),
        ComparisonActionRoutes(backend),
        LoginRoutes(authenticator),
        WebhookRoutes(backend),
    )
    return [route for part in parts for route in part.router.routes]


MAX_UNCHUNKED_BYTES: Final = 262_144
"""Size up to which a document is sent as one piece."""
SelectedRunParameter = Annotated[
    ShortText, Query(description="Name or id of a current run; default: all current runs.")
]
ResponseDocs = dict[int | str, dict[str, Any]]


class StatusRoutes:
    """The status document and the two health probes."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self._status_cache = StatusCache()
        self.router = APIRouter(tags=["status"])
        add = partial(self.router.add_api_route, methods=["GET"])
        not_modified: ResponseDocs = {304: {"description": "Not modified since the response with this `ETag`."}}
        add(
            "/status",
            self.status,
            response_model=StatusDocument | RunsStatusDocument,
            responses=not_modified,
            operation_id="get_status",
        )
        add("/healthz", self.healthz, response_model=Liveness, operation_id="get_liveness")
        not_ready: ResponseDocs = {503: {"model": Readiness, "description": "The service is not ready."}}
        add("/readyz", self.readyz, response_model=Readiness, responses=not_ready, operation_id="get_readiness")

    async def status(self, request: Request, run: SelectedRunParameter = "") -> Response:
        """Return the current run and all of its jobs in one document.

        If the accounts file describes several runs, the document has the schema 2, with all of them in `runs`. With
        the parameter `run` it has the schema 1, with that run only.
        """
        problem, name = (await self._backend.check_health()).problem, run or None
        document = await self._backend.call_with_database(self._status_cache.read, problem, self._backend.now(), name)
        if document is None:
            raise ProblemError(404, f"There is no current run {run}.", "`/status` without `run` lists them.")
        tag = f'"{document.digest}"'
        return not_modified_response(request, tag, "no-cache") or _send_document(document, tag)

    async def healthz(self) -> Response:
        """Liveness probe: the process responds."""
        return JSONResponse({"alive": True}, headers={"Cache-Control": "no-store"})

    async def readyz(self) -> Response:
        """Readiness probe: whether the database is reachable and the scheduler is running, and if not, why."""
        health = await self._backend.check_health()
        readiness = {name: getattr(health, name) for name in ("ready", "database", "ticking", "reason")}
        return JSONResponse(readiness, 200 if health.ready else 503, {"Cache-Control": "no-store"})


def _send_document(document: EncodedStatus, tag: str) -> Response:
    """Build the response; a large document is sent piece by piece, as fast as the client reads it."""
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Length": str(document.length)}
    if document.length <= MAX_UNCHUNKED_BYTES:
        return Response(document.join(), media_type="application/json", headers=headers)
    return StreamingResponse(_iter_document(document), media_type="application/json", headers=headers)


async def _iter_document(document: EncodedStatus) -> AsyncIterator[bytes]:
    for chunk in document.iter_chunks():
        yield chunk
