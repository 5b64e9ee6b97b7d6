"""Problem: an error as an answer, by RFC 9457, with the next step in `hint`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from orchestrator.core.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.web.headers import NO_STORE, SECURITY_HEADERS
from orchestrator.web.page_renderer import render_page

_JSON_ONLY_PREFIXES = ("/api/", "/webhooks/")  # paths that answer in JSON even to a browser
_MAX_VALIDATION_ERRORS = 10  # of a request that are told
_OPENAPI_HINT = "`/api/v1/openapi.json` says what this path understands."
_HINTS_BY_STATUS = {
    404: "The pages begin at /, the whole picture is at /status, and /api/v1/openapi.json describes the rest.",
    405: "The Allow header names the methods of this path.",
}


class ProblemError(Exception):
    """What was asked cannot be done as things are; `status` is HTTP's."""

    def __init__(self, status: int, detail: str, hint: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.headers = headers
        self.status = status
        self.detail = detail
        self.hint = hint


def problem_response(
    status: int, detail: str, hint: str = "", *, kind: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """One error: `detail` says what is wrong, `hint` what to do next."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    extras = {"kind": kind, "hint": hint}
    body |= {name: value for name, value in extras.items() if value}
    content = {name: _replace_unencodable(value) if isinstance(value, str) else value for name, value in body.items()}
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def _replace_unencodable(text: str) -> str:
    """Without what UTF-8 cannot say: a request may have put anything into a text."""
    return text.encode(errors="replace").decode()


def wants_html(request: Request) -> bool:
    """Whether a person looks at the answer in a browser, and not a program or a script of a page."""
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
    """One error in the form that the client understands: a page for a browser, a problem for a program."""
    if not wants_html(request):
        return problem_response(status, detail, hint, kind=kind, headers=headers)
    values = {
        "title": HTTPStatus(status).phrase,
        "detail": _replace_unencodable(detail),
        "hint": _replace_unencodable(hint),
    }
    return render_page(request, "problem.html", status=status, headers=dict(headers or {}), **values)


def response_from_error(request: Request, error: OrchestratorError | ProblemError) -> Response:
    """An error of ours as an answer."""
    if isinstance(error, ProblemError):
        return error_response(request, error.status, error.detail, error.hint, headers=error.headers)
    status = 503 if isinstance(error, DatabaseUnavailable) else 500
    return error_response(request, status, error.message, error.hint, kind=error.kind)


def add_error_handlers(app: FastAPI) -> None:
    """Let every error of the app leave as a problem."""
    app.add_exception_handler(HTTPException, _handle_http_exception)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(ProblemError, _handle_problem_error)
    app.add_exception_handler(OrchestratorError, _handle_orchestrator_error)
    app.add_exception_handler(Exception, _handle_unexpected_error)


def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    return error_response(
        request, status, error.detail, _HINTS_BY_STATUS.get(status, _OPENAPI_HINT), headers=error.headers
    )


def _handle_problem_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return response_from_error(request, error)


def _handle_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    return error_response(request, 422, "; ".join(faults[:_MAX_VALIDATION_ERRORS]), _OPENAPI_HINT)


def _handle_orchestrator_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, OrchestratorError)
    return response_from_error(request, error)


def _handle_unexpected_error(request: Request, __: Exception) -> Response:
    hint = "Look at the service's log at this moment; please report what it says."
    # This answer is made outside of the guard, which gives all others these headers.
    headers = SECURITY_HEADERS | NO_STORE
    return error_response(
        request, 500, "the service failed to answer; this is a fault of ours", hint, headers=headers
    )
