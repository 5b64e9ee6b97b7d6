"""Error responses: problem details (RFC 9457) for programs, a page for browsers. `hint` is the next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

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
_TEXTS_BY_TYPE = {"missing": "is required", "extra_forbidden": "is not a known field"}  # by the types of pydantic
_NO_OBJECT_TYPES = frozenset({"model_attributes_type", "model_type", "dict_type"})
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
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    problems = _list_validation_problems(error.errors(), is_json=media_type.endswith(("/json", "+json")))
    return error_response(request, 422, "; ".join(problems[:_MAX_VALIDATION_ERRORS]) + ".", _OPENAPI_HINT)


def _list_validation_problems(errors: Sequence[Mapping[str, Any]], *, is_json: bool) -> list[str]:
    """Describe the errors of a request. Of several alternatives for its body only the closest one is described."""
    alternatives: dict[str, list[Mapping[str, Any]]] = {}
    for error in errors:
        alternatives.setdefault(_find_alternative(error), []).append(error)
    common = alternatives.pop("", [])
    if alternatives and all(each["type"] == "missing" for group in alternatives.values() for each in group):
        choices = [" and ".join(f"`{each['loc'][-1]}`" for each in group) for group in alternatives.values()]
        return [*(_describe(each, is_json=is_json) for each in common), f"body requires {'; or '.join(choices)}"]
    closest = min(alternatives.values(), key=len, default=[])
    return [_describe(each, is_json=is_json) for each in (*common, *closest)]


def _find_alternative(error: Mapping[str, Any]) -> str:
    """Return the class that pydantic adds to the location of an error if a body may be one of several; else ""."""
    kind, location = error["type"], [str(part) for part in error["loc"]]
    is_field = len(location) < 3 and kind not in _NO_OBJECT_TYPES  # the class itself is the place of no other error
    is_class = location[0] == "body" and not is_field and location[1:] and location[1][:1].isupper()
    return location[1] if is_class else ""


def _describe(error: Mapping[str, Any], *, is_json: bool) -> str:
    """Describe an error without the names of classes."""
    kind, location = error["type"], [str(part) for part in error["loc"]]
    if _find_alternative(error):
        del location[1]
    place = ".".join(location)
    if kind == "json_invalid":
        return f"body is not valid JSON: {error['ctx']['error']} (character {location[-1]})"
    if kind in _NO_OBJECT_TYPES and place == "body" and not is_json:
        return "body is not read as JSON: send the header `Content-Type: application/json`"
    if kind in _NO_OBJECT_TYPES:
        return f"{place} must be a JSON object"
    return f"{place} {_TEXTS_BY_TYPE[kind]}" if kind in _TEXTS_BY_TYPE else f"{place}: {error['msg']}"


def _handle_orchestrator_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, OrchestratorError)
    return response_from_error(request, error)


def _handle_unexpected_error(request: Request, __: Exception) -> Response:
    hint = "Check the service's log at this time, and please report the error it shows."
    # This response bypasses the security middleware, which adds these headers to all others.
    headers = SECURITY_HEADERS | NO_STORE
    return error_response(request, 500, "Internal server error.", hint, headers=headers)
