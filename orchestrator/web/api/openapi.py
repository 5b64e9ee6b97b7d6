"""Builds the OpenAPI document of the API. Clients and contract tests are generated from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response

from orchestrator.web.api import API_PREFIX
from orchestrator.web.api.examples import EXAMPLES
from orchestrator.web.api.schemas.jobs_and_runs import Problem

OPENAPI_PATH: Final = f"{API_PREFIX}/openapi.json"
API_VERSION: Final = "1"
_PUBLIC_PATHS: Final = ("/healthz", "/readyz")
_ERROR_RESPONSE: Final = {
    "description": "An error: `detail` describes the problem, `hint` the next step.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_TOKEN_SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token that `orchestrator token create` has printed. Its role is `reader` or `operator`.",
}
_SERVERS: Final = [
    {"url": "/", "description": "The service that returned this document."},
    {"url": "http://127.0.0.1:8080", "description": "A service on this machine with the default port."},
]
_DESCRIPTION: Final = """\
One dataset, many accounts, one fine-tuned model in each.

Authenticate with the header `Authorization: Bearer TOKEN`. A token with the role `reader` has read-only access; the
role `operator` may also perform actions. Each action is recorded in the event history under the token's name. If no
token was ever created, the service accepts requests from this machine only, without authentication.
"""


def add_openapi_route(app: FastAPI) -> None:
    """Serve the OpenAPI document at OPENAPI_PATH; it is built on the first request."""
    app.openapi = cache(lambda: build_openapi(app))  # type: ignore[method-assign]
    app.add_api_route(OPENAPI_PATH, _openapi_endpoint(app), methods=["GET"], include_in_schema=False)


def build_openapi(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document: routes, schemas with examples, and which routes need a token."""
    document = get_openapi(
        title="orchestrator", version=API_VERSION, description=_DESCRIPTION, routes=app.routes, servers=_SERVERS
    )
    schemas = document["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    document["components"]["securitySchemes"] = {"token": _TOKEN_SCHEME}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            operation["summary"], _, rest = operation["description"].partition("\n\n")
            operation["description"] = " ".join(rest.split())
            operation["security"] = [] if path in _PUBLIC_PATHS else [{"token": []}]
            operation["responses"]["default"] = _ERROR_RESPONSE
            operation["responses"].pop("422", None)
    for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own; errors are a `Problem` here
        schemas.pop(unused, None)
    return document


def _openapi_endpoint(app: FastAPI) -> Callable[[], Awaitable[Response]]:
    async def openapi() -> Response:
        return JSONResponse(app.openapi())

    return openapi
