"""Error responses: problem details (RFC 9457) for programs, a page for browsers. `hint` is the next step."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from orchestrator.core.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.web.headers import NO_STORE, SECURITY_HEADERS
from orchestrator.web.page_renderer import render_page

_JSON_ONLY_PREFIXES = ("/api/", "/webhooks/")  # paths that answer in JSON even to a browser
_MAX_VALIDATION_ERRORS = 10  # reported for one request
_OPENAPI_HINT = "`/api/v1/openapi.json` documents the parameters of this path."
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_DETAILS_BY_STATUS = {404: "There is nothing at this URL.", 405: "This URL does not support the request method."}
_HINTS_BY_STATUS = {
    404: "The dashboard is at /, the status document at /status, and /api/v1/openapi.json documents the API.",
    405: "The Allow header lists the methods of this path.",
}


class ProblemError(Exception):
    """The request cannot be fulfilled. `status` is the HTTP status, `hint` the next step for the client."""

    def __init__(self, status: int, detail: str, hint: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.headers = headers
        self.status = status
        self.detail = detail
        self.hint = hint


def problem_response(
    status: int, detail: str, hint: str = "", *, kind: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return an error as problem details: `detail` describes the problem, `hint` the next step."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    extras = {"kind": kind, "hint": hint}
    body |= {name: value for name, value in extras.items() if value}
    content = {name: _replace_unencodable(value) if isinstance(value, str) else value for name, value in body.items()}
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def _replace_unencodable(text: str) -> str:
    """Replace lone surrogates, which a request may contain and UTF-8 cannot encode."""
    return text.encode(errors="replace").decode()


def wants_html(request: Request) -> bool:
    """Return whether a browser navigates to the response, as opposed to a program or a script of a page."""
    if "HX-Request" in request.headers or request.scope["path"].startswith(_JSON_ONLY_PREFIXES):
        return False
    return "text/html" in request.headers.get("Accept", "")


def error_response(
    request: Request,
    status: int,
    detail: str,
    hint: str = "",
    *,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error in the form that suits the client: a page for a browser, problem details for a program."""
    if not wants_html(request):
        return problem_response(status, detail, hint, kind=kind, headers=headers)
    values = {
        "title": HTTPStatus(status).phrase,
        "detail": _replace_unencodable(detail),
        "hint": _replace_unencodable(hint),
    }
    return render_page(request, "problem.html", status=status, headers=dict(headers or {}), **values)


def response_from_error(request: Request, error: OrchestratorError | ProblemError) -> Response:
    """Return the response for an error of the program."""
    if isinstance(error, ProblemError):
        return error_response(request, error.status, error.detail, error.hint, headers=error.headers)
    status = 503 if isinstance(error, DatabaseUnavailable) else 500
    return error_response(request, status, error.message, error.hint, kind=error.kind)


def add_error_handlers(app: FastAPI) -> None:
    """Register the handlers that turn every exception of the application into an error response."""
    app.add_exception_handler(HTTPException, _handle_http_exception)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(ProblemError, _handle_problem_error)
    app.add_exception_handler(OrchestratorError, _handle_orchestrator_error)
    app.add_exception_handler(Exception, _handle_unexpected_error)


def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    # Starlette's own errors say no more than the reason phrase, which is the title already.
    detail = _DETAILS_BY_STATUS.get(status, error.detail)
    headers = {"Allow": _list_methods(request)} if status == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
    return error_response(request, status, detail, _HINTS_BY_STATUS.get(status, _OPENAPI_HINT), headers=headers)


def _list_methods(request: Request) -> str:
    """List the methods of all routes with this path. Starlette names those of the first one only."""
    return ", ".join(
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    )


def _handle_problem_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return response_from_error(request, error)


def _handle_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return error_response(request, 422, "; ".join(problems[:_MAX_VALIDATION_ERRORS]), _OPENAPI_HINT)


def _handle_orchestrator_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, OrchestratorError)
    return response_from_error(request, error)


def _handle_unexpected_error(request: Request, __: Exception) -> Response:
    hint = "Check the service's log at this time, and please report the error it shows."
    # This response bypasses the security middleware, which adds these headers to all others.
    headers = SECURITY_HEADERS | NO_STORE
    return error_response(request, 500, "Internal server error.", hint, headers=headers)
