"""A served dashboard and API for hostile requests, and one OpenAPI document of all its routes, pages included."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import schemathesis
import structlog
from api_values import READER, list_causes, serve
from fastapi.routing import iter_route_contexts

from orchestrator.app.webhook_receiver import WebhookReceiver
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.exports import ExportFormat
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai.webhooks import build_webhook_parser
from orchestrator.store.db.database import Database
from orchestrator.web.dashboard.deployments.deployment_dialog import DeploymentAction
from orchestrator.web.server import WebServer

PUBLIC_PATHS: Final = ("/healthz", "/readyz", "/login")
PUBLIC_PREFIXES: Final = ("/static/", "/webhooks/")
INVALID_REQUEST_STATUSES: Final = frozenset({400, 404, 405, 413, 431})
LOCAL_TARGET: Final = re.compile(r"/(?![/\\])[!-~]*")
DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "reference" / "openapi.json"
PAGE_PARAMETERS: Final = (
    *("state", "provider", "label", "error", "q", "run", "sort", "page", "account", "format", "with", "find", "to"),
    *("back", "verb", "expect", "usd", "job", "all"),
)
FORM_FIELDS: Final = (
    *("verb", "account", "all", "expect", "usd", "reason", "job", "remote_job", "delivery", "deployment", "back"),
    *("csrf", "token", "kind", "keep_hours", "usd_per_hour", "checkpoint", "label", "run", "page"),
)
KNOWN_VALUES: Final = {
    "account": ["acme", "globex"],
    "name": ["acme", "globex"],
    "verb": [*OperatorAction, *DeploymentAction],
    "all": ["1"],
    "format": [*ExportFormat],
    "back": ["/", "//evil.example", "/\\\\evil.example", "https://evil.example/"],
    "to": ["/", "//evil.example", "/%2F/evil.example", "https://evil.example/"],
}
"""Values that lead further into the program than a random text does."""


class ServedDoor:
    """The application on a database of its own, on a port, in a thread."""

    def __init__(self, folder: Path, *, passing: float = 60.0) -> None:
        """`passing` are the seconds between two looks at the clock; 60 of them empty the login throttle."""
        self._passing = passing
        self.database = Database(f"sqlite:///{folder / 'test.db'}")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server, self.app, self.url = self._run(self._serve())

    def list_events(self) -> list[tuple[str, str, str | None]]:
        """The history, to compare it before and after a request."""
        known: list[tuple[str, str, str | None]] = self._run(list_causes(self.database))
        return known

    def close(self) -> None:
        self._run(self._server.stop())
        self._run(self.database.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> tuple[WebServer, Any, str]:
        await self.database.migrate()
        served = await serve(self.database)
        served.passing = self._passing
        http = HttpClient(httpx2.MockTransport(lambda _: httpx2.Response(500)))
        served.inside._webhook_receiver = WebhookReceiver(build_webhook_parser(http), structlog.get_logger())
        served.rebuild()
        server = WebServer(served.app, "127.0.0.1", 0)
        return server, served.app, f"http://127.0.0.1:{await server.start()}"

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


def list_routes(app: Any) -> Iterator[tuple[str, str]]:
    """Yield method and path of every route of the application; static files are one route."""
    for context in iter_route_contexts(app.routes):
        path = re.sub(r"{(\w+):\w+}", r"{\1}", str(context.path))  # the document does not name converters
        for method in sorted(context.methods or {"GET"}):
            yield method, path if context.methods else f"{path}/{{file}}"


def build_document(app: Any) -> dict[str, Any]:
    """Return the published document with the pages added: their parameters and form fields are any text."""
    document: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    del document["components"]["securitySchemes"]  # the caller decides about the token
    for operations in document["paths"].values():
        for operation in operations.values():
            del operation["security"]
    for method, path in list_routes(app):
        operations = document["paths"].setdefault(path, {})
        if method.lower() not in operations:
            operations[method.lower()] = _build_page_operation(method, path)
    return document


def list_operations(app: Any) -> list[Any]:
    """Return the operations of every route, for schemathesis to make requests of."""
    document: Any = schemathesis.openapi.from_dict(build_document(app))
    return [result.ok() for result in document.get_all_operations()]


def _build_page_operation(method: str, path: str) -> dict[str, Any]:
    names = [part.split("}")[0] for part in path.split("{")[1:]]
    parameters = [{"name": name, "in": "path", "required": True, "schema": _build_schema(name)} for name in names]
    parameters += [{"name": name, "in": "query", "schema": _build_schema(name)} for name in PAGE_PARAMETERS]
    operation: dict[str, Any] = {"parameters": parameters, "responses": {"default": {"description": "any"}}}
    if method == "POST":
        form = {"type": "object", "properties": {name: _build_schema(name) for name in FORM_FIELDS}}
        operation["requestBody"] = {"content": {"application/x-www-form-urlencoded": {"schema": form}}}
    return operation


def _build_schema(name: str) -> dict[str, Any]:
    """Return the schema of a parameter: any text, or one of the values that the program knows."""
    text = {"type": "string"}
    if name not in KNOWN_VALUES:
        return text
    return {"anyOf": [{"enum": [str(value) for value in KNOWN_VALUES[name]]}, text]}


def find_faults(case: Any, answer: Any, token: str) -> list[str]:
    """Return what is wrong with the answer to a request, whatever the request was."""
    faults, status = [], answer.status_code
    if status >= 500:
        faults.append(f"{status}: {answer.content[:500]!r}")
    if "x-content-type-options" not in answer.headers and status != 400:
        faults.append("no security headers")  # a request that the parser refuses does not reach the application
    public = case.path in PUBLIC_PATHS or case.path.startswith(PUBLIC_PREFIXES)
    if not token and not public and status not in {401, *INVALID_REQUEST_STATUSES}:
        faults.append(f"{status} without a token")
    may_not = token == READER and case.method == "POST" and not public and case.path != "/logout"
    if may_not and status not in {403, *INVALID_REQUEST_STATUSES}:
        faults.append(f"{status} for a reader")
    if (target := answer.headers.get("location", [""])[0]) and not LOCAL_TARGET.fullmatch(target):
        faults.append(f"redirected to {target}")
    return faults
