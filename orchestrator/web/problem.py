"""Problem: an error as an answer, by RFC 9457, with the next step in `hint`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from orchestrator.core.errors import OrchestratorError
from orchestrator.web.headers import SECURITY_HEADERS

_HINTS = {
    404: "Known are /, /status, /healthz and /readyz.",
    405: "The Allow header names the methods of this path.",
}


def problem(
    status: int, detail: str, hint: str = "", *, kind: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """One error: `detail` says what is wrong, `hint` what to do next."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    extras = {"kind": kind, "hint": hint}
    body |= {name: value for name, value in extras.items() if value}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def explain_errors(app: FastAPI) -> None:
    """Let every error of the app leave as a problem."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(OrchestratorError, _known)
    app.add_exception_handler(Exception, _unknown)


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, _HINTS.get(error.status_code, ""), headers=error.headers)


def _known(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OrchestratorError)
    return problem(500, error.message, error.hint, kind=error.kind)


def _unknown(_: Request, __: Exception) -> JSONResponse:
    hint = "Look at the service's log at this moment; please report what it says."
    # This answer is made outside of the guard, which gives all others these headers.
    return problem(500, "the service failed to answer; this is a fault of ours", hint, headers=SECURITY_HEADERS)
