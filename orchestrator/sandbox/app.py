"""The sandbox as an ASGI application: which path is which operation."""

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

from orchestrator.sandbox import chat, files, jobs, models, moderations, responses, uploads
from orchestrator.sandbox.admin import admin_routes
from orchestrator.sandbox.call import Handler
from orchestrator.sandbox.gate import Gate
from orchestrator.sandbox.settings import SandboxSettings
from orchestrator.sandbox.webhooks import Messenger
from orchestrator.sandbox.world import World

FILE = "/v1/files/{file_id}"
UPLOAD = "/v1/uploads/{upload_id}"
JOBS = "/v1/fine_tuning/jobs"
JOB = "/v1/fine_tuning/jobs/{job_id}"
MODEL = "/v1/models/{model:path}"
ROUTES: tuple[tuple[str, str, str, Handler], ...] = (
    ("GET", JOB, "jobs.retrieve", jobs.retrieve_job),
    ("GET", FILE, "files.retrieve", files.retrieve_file),
    ("POST", "/v1/files", "files.create", files.create_file),
    ("GET", "/v1/files", "files.list", files.list_files),
    ("DELETE", FILE, "files.delete", files.delete_file),
    ("GET", FILE + "/content", "files.content", files.file_content),
    ("POST", JOBS, "jobs.create", jobs.create_job),
    ("GET", JOBS, "jobs.list", jobs.list_jobs),
    ("POST", JOB + "/cancel", "jobs.cancel", jobs.cancel_job),
    ("POST", JOB + "/pause", "jobs.pause", jobs.pause_job),
    ("POST", JOB + "/resume", "jobs.resume", jobs.resume_job),
    ("GET", JOB + "/events", "jobs.events", jobs.list_events),
    ("GET", JOB + "/checkpoints", "jobs.checkpoints", jobs.list_checkpoints),
    ("GET", "/v1/models", "models.list", models.list_models),
    ("GET", MODEL, "models.retrieve", models.retrieve_model),
    ("DELETE", MODEL, "models.delete", models.delete_model),
    ("POST", "/v1/moderations", "moderations.create", moderations.create_moderation),
    ("POST", "/v1/chat/completions", "chat.create", chat.create_chat),
    ("POST", "/v1/responses", "responses.create", responses.create_response),
    ("POST", "/v1/uploads", "uploads.create", uploads.create_upload),
    ("POST", UPLOAD + "/parts", "uploads.part", uploads.add_part),
    ("POST", UPLOAD + "/complete", "uploads.complete", uploads.complete_upload),
    ("POST", UPLOAD + "/cancel", "uploads.cancel", uploads.cancel_upload),
)


def create_app(settings: SandboxSettings, clock: Callable[[], float] = time.time) -> Starlette:  # noqa: TID251
    """A sandbox. `clock` gives epoch seconds; `app.state.world` is its state, closed at shutdown."""
    world = World(settings, clock)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        telling = asyncio.create_task(Messenger(world).run())
        yield
        telling.cancel()
        world.close()

    routes = [Route(path, Gate(world, name, do), methods=[method]) for method, path, name, do in ROUTES]
    app = Starlette(
        routes=[*routes, *admin_routes(world)],
        exception_handlers={404: _no_such_url, 405: _no_such_url},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.world = world
    return app


async def _no_such_url(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    message = f"Invalid URL ({request.method} {request.url.path})"
    body = {"message": message, "type": "invalid_request_error", "param": None, "code": "unknown_url"}
    return JSONResponse({"error": body}, status)
