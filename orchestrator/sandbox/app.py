"""The sandbox as an ASGI application: the routes and their operations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from orchestrator.sandbox.api_call import Handler
from orchestrator.sandbox.endpoints import chat, files, jobs, models, moderations, responses, uploads
from orchestrator.sandbox.endpoints.admin import build_admin_routes
from orchestrator.sandbox.request_pipeline import RequestPipeline
from orchestrator.sandbox.settings import SandboxSettings
from orchestrator.sandbox.state import SandboxState
from orchestrator.sandbox.webhook_sender import SandboxWebhookSender

FILE_PATH = "/v1/files/{file_id}"
UPLOAD_PATH = "/v1/uploads/{upload_id}"
JOBS_PATH = "/v1/fine_tuning/jobs"
JOB_PATH = "/v1/fine_tuning/jobs/{job_id}"
MODEL_PATH = "/v1/models/{model:path}"
ROUTES: tuple[tuple[str, str, str, Handler], ...] = (
    ("GET", JOB_PATH, "jobs.retrieve", jobs.retrieve_job),
    ("GET", FILE_PATH, "files.retrieve", files.retrieve_file),
    ("POST", "/v1/files", "files.create", files.create_file),
    ("GET", "/v1/files", "files.list", files.list_files),
    ("DELETE", FILE_PATH, "files.delete", files.delete_file),
    ("GET", FILE_PATH + "/content", "files.content", files.download_file_content),
    ("POST", JOBS_PATH, "jobs.create", jobs.create_job),
    ("GET", JOBS_PATH, "jobs.list", jobs.list_jobs),
    ("POST", JOB_PATH + "/cancel", "jobs.cancel", jobs.cancel_job),
    ("POST", JOB_PATH + "/pause", "jobs.pause", jobs.pause_job),
    ("POST", JOB_PATH + "/resume", "jobs.resume", jobs.resume_job),
    ("GET", JOB_PATH + "/events", "jobs.events", jobs.list_events),
    ("GET", JOB_PATH + "/checkpoints", "jobs.checkpoints", jobs.list_checkpoints),
    ("GET", "/v1/models", "models.list", models.list_models),
    ("GET", MODEL_PATH, "models.retrieve", models.retrieve_model),
    ("DELETE", MODEL_PATH, "models.delete", models.delete_model),
    ("POST", "/v1/moderations", "moderations.create", moderations.create_moderation),
    ("POST", "/v1/chat/completions", "chat.create", chat.create_chat_completion),
    ("POST", "/v1/responses", "responses.create", responses.create_response),
    ("POST", "/v1/uploads", "uploads.create", uploads.create_upload),
    ("POST", UPLOAD_PATH + "/parts", "uploads.part", uploads.add_part),
    ("POST", UPLOAD_PATH + "/complete", "uploads.complete", uploads.complete_upload),
    ("POST", UPLOAD_PATH + "/cancel", "uploads.cancel", uploads.cancel_upload),
)


def create_app(settings: SandboxSettings, clock: Callable[[], float] = time.time) -> Starlette:  # noqa: TID251
    """Create a sandbox.

    `clock` returns epoch seconds. `app.state.sandbox` is its SandboxState, closed at shutdown.
    """
    state = SandboxState(settings, clock)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        sender = asyncio.create_task(SandboxWebhookSender(state).run())
        yield
        sender.cancel()
        state.close()

    routes = [
        Route(path, RequestPipeline(state, operation, handler), methods=[method])
        for method, path, operation, handler in ROUTES
    ]
    app = Starlette(
        routes=[*routes, *build_admin_routes(state)],
        exception_handlers={404: _handle_unknown_url, 405: _handle_unknown_url},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.sandbox = state
    return app


async def _handle_unknown_url(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    message = f"Invalid URL ({request.method} {request.url.path})"
    body = {"message": message, "type": "invalid_request_error", "param": None, "code": "unknown_url"}
    return JSONResponse({"error": body}, status)
