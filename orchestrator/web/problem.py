"""Problem: an error as an answer, by RFC 9457, with the next step in `hint`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from orchestrator.core.errors import DatabaseAway, OrchestratorError
from orchestrator.web.headers import NO_STORE, SECURITY_HEADERS
from orchestrator.web.pages import page

_PROGRAMS_ONLY = ("/api/", "/webhooks/")  # paths that answer in JSON even to a browser
_FAULTS = 10  # of a request that are told
_DESCRIBED = "`/api/v1/openapi.json` says what this path understands."
_HINTS = {
    404: "The pages begin at /, the whole picture is at /status, and /api/v1/openapi.json describes the rest.",
    405: "The Allow header names the methods of this path.",
}


class Refused(Exception):
    """What was asked cannot be done as things are; `status` is HTTP's."""

    def __init__(self, status: int, detail: str, hint: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.headers = headers
        self.status = status
        self.detail = detail
        self.hint = hint


def problem(
    status: int, detail: str, hint: str = "", *, kind: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """One error: `detail` says what is wrong, `hint` what to do next."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    extras = {"kind": kind, "hint": hint}
    body |= {name: value for name, value in extras.items() if value}
    content = {name: _printable(value) if isinstance(value, str) else value for name, value in body.items()}
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def _printable(text: str) -> str:
    """Without what UTF-8 cannot say: a request may have put anything into a text."""
    return text.encode(errors="replace").decode()


def wants_page(request: Request) -> bool:
    """Whether a person looks at the answer in a browser, and not a program or a script of a page."""
    if "HX-Request" in request.headers or request.scope["path"].startswith(_PROGRAMS_ONLY):
        return False
    return "text/html" in request.headers.get("Accept", "")


def refuse(
    request: Request,
    status: int,
    detail: str,
    hint: str = "",
    *,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One error in the form that the client understands: a page for a browser, a problem for a program."""
    if not wants_page(request):
        return problem(status, detail, hint, kind=kind, headers=headers)
    values = {"title": HTTPStatus(status).phrase, "detail": _printable(detail), "hint": _printable(hint)}
    return page(request, "problem.html", status=status, headers=dict(headers or {}), **values)


def explain(request: Request, error: OrchestratorError | Refused) -> Response:
    """An error of ours as an answer."""
    if isinstance(error, Refused):
        return refuse(request, error.status, error.detail, error.hint, headers=error.headers)
    status = 503 if isinstance(error, DatabaseAway) else 500
    return refuse(request, status, error.message, error.hint, kind=error.kind)


def explain_errors(app: FastAPI) -> None:
    """Let every error of the app leave as a problem."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(Refused, _declined)
    app.add_exception_handler(OrchestratorError, _known)
    app.add_exception_handler(Exception, _unknown)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    return refuse(request, status, error.detail, _HINTS.get(status, _DESCRIBED), headers=error.headers)


def _declined(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return explain(request, error)


def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    return refuse(request, 422, "; ".join(faults[:_FAULTS]), _DESCRIBED)


def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, OrchestratorError)
    return explain(request, error)


def _unknown(request: Request, __: Exception) -> Response:
    hint = "Look at the service's log at this moment; please report what it says."
    # This answer is made outside of the guard, which gives all others these headers.
    headers = SECURITY_HEADERS | NO_STORE
    return refuse(request, 500, "the service failed to answer; this is a fault of ours", hint, headers=headers)
