"""Guard: stands before every route. Right host, right person, safe headers."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.core.loopback import is_loopback
from orchestrator.web.door import Door
from orchestrator.web.headers import SECURITY_HEADERS
from orchestrator.web.problem import problem

OPEN: Final = frozenset({"/healthz", "/readyz", "/login", "/logout"})
STATIC: Final = "/static/"  # the program's own published files: the login page needs them


class Guard:
    """ASGI middleware. What gets through has its role in `request.state.role`."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope)
        answer = self._refusal(request) or self._app
        await answer(scope, receive, send_safely)

    def _refusal(self, request: Request) -> Response | None:
        if not self._door.locked and not is_loopback(_host(request)):
            return problem(
                421,
                "this service answers only to names of this machine",
                "Open it as http://127.0.0.1 or http://localhost with its port, "
                "or set ORCHESTRATOR_TOKEN to serve it under other names.",
            )
        path = request.url.path
        request.state.role = self._door.role(request)
        if request.state.role or path in OPEN or path.startswith(STATIC):
            return None
        return _login_first(request) if path == "/" else _unauthorized()


def _login_first(request: Request) -> Response:
    """A browser is shown the way to the login page; it comes back to the same filters."""
    login = "/login" + (f"?{request.url.query}" if request.url.query else "")
    if "HX-Request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": login})
    if "text/html" in request.headers.get("Accept", ""):
        return RedirectResponse(login, 303)
    return _unauthorized()


def _unauthorized() -> Response:
    return problem(
        401,
        "a token is needed",
        "Send the header `Authorization: Bearer …` with the service's ORCHESTRATOR_TOKEN or ORCHESTRATOR_READ_TOKEN.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _host(request: Request) -> str:
    """The name in the Host header, without port."""
    host = request.headers.get("Host", "")
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
