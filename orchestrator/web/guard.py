"""Guard: stands before every route. Right host, right person, nothing forged, nothing huge, safe headers."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.loopback import is_loopback
from orchestrator.web.body import MAX_BODY_BYTES, MAX_OPEN_BODY_BYTES, Body
from orchestrator.web.door import Door
from orchestrator.web.forgery import from_elsewhere, is_forged
from orchestrator.web.headers import NO_STORE, SECURITY_HEADERS
from orchestrator.web.principal import Principal
from orchestrator.web.problem import Refused, explain, problem, refuse

OPEN: Final = frozenset({"/healthz", "/readyz", "/login"})
STATIC: Final = "/static/"  # the program's own published files: the login page needs them
WEBHOOKS: Final = "/webhooks/"  # each is signed
LOGOUT: Final = "/logout"
_LOOKING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """ASGI middleware. What gets through has its principal and its csrf token in `request.state`."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        added = SECURITY_HEADERS if scope["path"].startswith(STATIC) else SECURITY_HEADERS | NO_STORE

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
            await send(message)

        request, body = Request(scope), Body(receive)
        try:
            refusal = await self._refusal(request, body)
        except (OrchestratorError, Refused) as error:
            refusal = explain(request, error)
        await (refusal or self._app)(scope, body.again, send_safely)

    async def _refusal(self, request: Request, body: Body) -> Response | None:
        # `request.url` is made of the Host header, too; this is the path that the router goes by.
        path, known_host, who = request.scope["path"], is_loopback(_host(request)), None
        if len(request.headers.getlist("Host")) > 1:
            return _two_hosts(request)
        if path in OPEN or path.startswith((STATIC, WEBHOOKS)):
            if not known_host and not await self._door.locked():
                return _misdirected(request)
        else:
            who = await self._door.who(request)
            if who is None:
                return _login_first(request)
            if not known_host and not who.name:
                return _misdirected(request)
            request.state.principal, request.state.csrf = who, self._door.csrf(who)
        return None if request.method in _LOOKING else await self._refused_change(request, who, body)

    async def _refused_change(self, request: Request, who: Principal | None, body: Body) -> Response | None:
        if from_elsewhere(request):
            return _foreign(request)
        max_bytes = MAX_OPEN_BODY_BYTES if who is None else MAX_BODY_BYTES
        if not await body.read(request, max_bytes):
            return refuse(request, 413, "the request is too large", f"Send at most {max_bytes:,} bytes.")
        if who is None:
            return None
        if is_forged(request, who, body.content, request.state.csrf):
            return _foreign(request)
        return None if who.may_act or request.scope["path"] == LOGOUT else _only_looking(request, who)


def _login_first(request: Request) -> Response:
    """A browser is shown the way to the login page; it comes back to the same page and filters."""
    asks = "HX-Request" in request.headers  # the page itself is what to come back to, not the part it asked for
    here = quote(request.scope["path"]) + f"?{request.scope['query_string'].decode('latin-1')}"
    seen = urlsplit(request.headers.get("HX-Current-URL", "") if asks else here)
    page = f"{seen.path}?{seen.query}" if seen.query else seen.path
    login = "/login" if page in {"", "/", LOGOUT} else f"/login?to={quote(page, safe='')}"
    if asks:
        return Response(status_code=401, headers={"HX-Redirect": login})
    if "text/html" in request.headers.get("Accept", ""):
        return RedirectResponse(login, 303)
    return problem(
        401,
        "a token is needed",
        "Send the header `Authorization: Bearer …` with ORCHESTRATOR_TOKEN, ORCHESTRATOR_READ_TOKEN "
        "or a token that `orchestrator token create` made.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _two_hosts(request: Request) -> Response:
    return refuse(request, 400, "the request has more than one Host header", "Send one.")


def _misdirected(request: Request) -> Response:
    return refuse(
        request,
        421,
        "this service answers only to names of this machine",
        "Open it as http://127.0.0.1 or http://localhost with its port, "
        "or set ORCHESTRATOR_TOKEN to serve it under other names.",
    )


def _only_looking(request: Request, who: Principal) -> Response:
    return refuse(
        request,
        403,
        f"the token {who.name} may only look",
        "Use an operator's token: `orchestrator token create NAME --role operator` makes one.",
    )


def _foreign(request: Request) -> Response:
    return refuse(
        request,
        403,
        "this request was not made on a page of this session",
        "Load the page again and repeat it there. Behind a proxy, see that it passes the Host header on.",
    )


def _host(request: Request) -> str:
    """The name in the Host header, without port."""
    host = request.headers.get("Host", "")
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
