"""OpenAPI: the document of the API, exact enough to make clients and tests of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response

from orchestrator.web.api.examples import EXAMPLES
from orchestrator.web.api.schemas.jobs_and_runs import Problem

OPENAPI_PATH: Final = "/api/v1/openapi.json"
API_VERSION: Final = "1"
_PUBLIC_PATHS: Final = ("/healthz", "/readyz")
_ERROR_RESPONSE: Final = {
    "description": "An error: `detail` says what is wrong, `hint` what to do next.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_SERVERS: Final = [
    {"url": "/", "description": "The service that this document was read from."},
    {"url": "http://127.0.0.1:8080", "description": "A service on this machine, with the port it has by default."},
]
_DESCRIPTION: Final = """\
One dataset, many accounts, one fine-tuned model in each.

Send `Authorization: Bearer …` with a token. A reader's token looks, an operator's also acts, and every action is on
record under the token's name. Where no token was ever made, only this machine is served, and needs none.
"""


def add_openapi_route(app: FastAPI) -> None:
    """Serve the document."""
    app.openapi = cache(lambda: build_openapi(app))  # type: ignore[method-assign]
    router = APIRouter(include_in_schema=False)
    router.add_api_route(OPENAPI_PATH, _openapi_endpoint(app), methods=["GET"])
    app.include_router(router)


def build_openapi(app: FastAPI) -> dict[str, Any]:
    """What the application answers, and to whom."""
    found = get_openapi(
        title="orchestrator", version=API_VERSION, description=_DESCRIPTION, routes=app.routes, servers=_SERVERS
    )
    schemas = found["components"]["schemas"]
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, methods in found["paths"].items():
        for operation in methods.values():
            operation["summary"], _, rest = operation["description"].partition("\n\n")
            operation["description"] = " ".join(rest.split())
            operation["security"] = [] if path in _PUBLIC_PATHS else [{"token": []}]
            operation["responses"]["default"] = _ERROR_RESPONSE
            operation["responses"].pop("422", None)
    for gone in ("HTTPValidationError", "ValidationError"):
        schemas.pop(gone, None)
    return found


def _openapi_endpoint(app: FastAPI) -> Callable[[], Awaitable[Response]]:
    async def answer() -> Response:
        return JSONResponse(app.openapi())

    return answer
