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
from orchestrator.web.auth.authenticator import Authenticator
from orchestrator.web.auth.csrf import is_cross_site, lacks_valid_csrf_token
from orchestrator.web.auth.principal import Principal
from orchestrator.web.headers import NO_STORE, SECURITY_HEADERS
from orchestrator.web.problem import ProblemError, error_response, problem_response, response_from_error

PUBLIC_PATHS: Final = frozenset({"/healthz", "/readyz", "/login"})
STATIC_PREFIX: Final = "/static/"  # the program's own published files: the login page needs them
WEBHOOK_PREFIX: Final = "/webhooks/"  # each is signed
LOGOUT_PATH: Final = "/logout"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class SecurityMiddleware:
    """ASGI middleware. What gets through has its principal and its csrf token in `request.state`."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        added = SECURITY_HEADERS if scope["path"].startswith(STATIC_PREFIX) else SECURITY_HEADERS | NO_STORE

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
            await send(message)

        request, body = Request(scope), RequestBody(receive)
        try:
            refusal = await self._find_rejection(request, body)
        except (OrchestratorError, ProblemError) as error:
            refusal = response_from_error(request, error)
        await (refusal or self._app)(scope, body.replay, send_safely)

    async def _find_rejection(self, request: Request, body: RequestBody) -> Response | None:
        # `request.url` is made of the Host header, too; this is the path that the router goes by.
        path, known_host, who = request.scope["path"], is_loopback(_parse_host(request)), None
        if len(request.headers.getlist("Host")) > 1:
            return _multiple_hosts(request)
        if path in PUBLIC_PATHS or path.startswith((STATIC_PREFIX, WEBHOOK_PREFIX)):
            if not known_host and not await self._authenticator.is_enabled():
                return _host_not_allowed(request)
        else:
            who = await self._authenticator.authenticate(request)
            if who is None:
                return _login_required(request)
            if not known_host and not who.name:
                return _host_not_allowed(request)
            request.state.principal, request.state.csrf = who, self._authenticator.build_csrf_token(who)
        return None if request.method in _SAFE_METHODS else await self._find_change_rejection(request, who, body)

    async def _find_change_rejection(
        self, request: Request, principal: Principal | None, body: RequestBody
    ) -> Response | None:
        if is_cross_site(request):
            return _csrf_failed(request)
        max_bytes = MAX_ANONYMOUS_BODY_BYTES if principal is None else MAX_BODY_BYTES
        if not await body.read(request, max_bytes):
            return error_response(request, 413, "the request is too large", f"Send at most {max_bytes:,} bytes.")
        if principal is None:
            return None
        if lacks_valid_csrf_token(request, principal, body.content, request.state.csrf):
            return _csrf_failed(request)
        return (
            None
            if principal.may_act or request.scope["path"] == LOGOUT_PATH
            else _read_only_token(request, principal)
        )


def _login_required(request: Request) -> Response:
    """A browser is shown the way to the login page; it comes back to the same page and filters."""
    asks = "HX-Request" in request.headers  # the page itself is what to come back to, not the part it asked for
    here = quote(request.scope["path"]) + f"?{request.scope['query_string'].decode('latin-1')}"
    seen = urlsplit(request.headers.get("HX-Current-URL", "") if asks else here)
    page = f"{seen.path}?{seen.query}" if seen.query else seen.path
    login = "/login" if page in {"", "/", LOGOUT_PATH} else f"/login?to={quote(page, safe='')}"
    if asks:
        return Response(status_code=401, headers={"HX-Redirect": login})
    if "text/html" in request.headers.get("Accept", ""):
        return RedirectResponse(login, 303)
    return problem_response(
        401,
        "a token is needed",
        "Send the header `Authorization: Bearer …` with ORCHESTRATOR_TOKEN, ORCHESTRATOR_READ_TOKEN "
        "or a token that `orchestrator token create` made.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _multiple_hosts(request: Request) -> Response:
    return error_response(request, 400, "the request has more than one Host header", "Send one.")


def _host_not_allowed(request: Request) -> Response:
    return error_response(
        request,
        421,
        "this service answers only to names of this machine",
        "Open it as http://127.0.0.1 or http://localhost with its port, "
        "or set ORCHESTRATOR_TOKEN to serve it under other names.",
    )


def _read_only_token(request: Request, principal: Principal) -> Response:
    return error_response(
        request,
        403,
        f"the token {principal.name} may only look",
        "Use an operator's token: `orchestrator token create NAME --role operator` makes one.",
    )


def _csrf_failed(request: Request) -> Response:
    return error_response(
        request,
        403,
        "this request was not made on a page of this session",
        "Load the page again and repeat it there. Behind a proxy, see that it passes the Host header on.",
    )


def _parse_host(request: Request) -> str:
    """The name in the Host header, without port."""
    host = request.headers.get("Host", "")
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


MAX_BODY_BYTES: Final = 1_000_000
"""Of a request with a token; ten thousand account names fit in."""
MAX_ANONYMOUS_BODY_BYTES: Final = 65_536
"""Of a request that anyone may send: a login, or a webhook, which names one job."""


class RequestBody:
    """The bytes of a request, or nothing of them when they are too many."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_unreplayed_content = False
        self.content = b""

    async def read(self, request: Request, max_bytes: int) -> bool:
        """Read it all; False when it is too large, or the client went away."""
        declared = request.headers.get("Content-Length", "")
        if len(declared) > 12 or (declared.isdigit() and int(declared) > max_bytes):
            return False
        content, more = bytearray(), True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                return False
            content += message.get("body", b"")
            more = message.get("more_body", False)
            if len(content) > max_bytes:
                return False
        self.content, self._has_unreplayed_content = bytes(content), True
        return True

    async def replay(self) -> Message:
        """What the application receives: the bytes that were read, then whatever else comes."""
        if not self._has_unreplayed_content:
            return await self._receive()
        self._has_unreplayed_content = False
        return {"type": "http.request", "body": self.content, "more_body": False}
