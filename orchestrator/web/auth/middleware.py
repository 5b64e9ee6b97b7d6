"""ASGI middleware in front of every route: host check, authentication, CSRF protection, body limit, headers."""

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

# Theory of operation. Every HTTP request passes these checks in this order; the first that fails is the response:
#
#  1. One Host header                 else 400. Two would let a proxy and this service disagree about the host.
#  2. Authentication                  else 401, or a redirect to the login page. Public are PUBLIC_PATHS, static files
#                                     and webhooks, which are authenticated by their signature.
#  3. Allowed host                    else 421. Without a token only loopback names are accepted: this stops DNS
#                                     rebinding, where a web page's own host name resolves to 127.0.0.1.
#  For methods that may change state (all but GET, HEAD and OPTIONS):
#  4. Same origin                     else 403. `Sec-Fetch-Site` or `Origin`, for public paths as well.
#  5. Body size                       else 413. The body is read here, up to a limit, and replayed to the route.
#  6. CSRF token of the session       else 403. Requests with a bearer token are exempt.
#  7. Role                            else 403. A read-only token may only log out.
#
# The order matters: the size of an unauthenticated body is limited before anything reads it, and the CSRF check needs
# the body, because a form sends its token there. Security headers are added to every response, rejections included.

PUBLIC_PATHS: Final = frozenset({"/healthz", "/readyz", "/login"})
STATIC_PREFIX: Final = "/static/"  # published files without secrets; the login page needs them
WEBHOOK_PREFIX: Final = "/webhooks/"  # authenticated by their signature
LOGOUT_PATH: Final = "/logout"
MAX_BODY_BYTES: Final = 1_000_000
"""Limit for an authenticated request; ten thousand account names fit."""
MAX_ANONYMOUS_BODY_BYTES: Final = 65_536
"""Limit for a request that any client may send: a login or a webhook."""
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class SecurityMiddleware:
    """Rejects requests that fail a security check; sets `request.state.principal` and `.csrf` for the others."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        default_headers = SECURITY_HEADERS if scope["path"].startswith(STATIC_PREFIX) else SECURITY_HEADERS | NO_STORE

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in default_headers.items():
                    headers.setdefault(name, value)
            await send(message)

        request, body = Request(scope), RequestBody(receive)
        try:
            rejection = await self._find_rejection(request, body)
        except (OrchestratorError, ProblemError) as error:
            rejection = response_from_error(request, error)
        await (rejection or self._app)(scope, body.replay, send_safely)

    async def _find_rejection(self, request: Request, body: RequestBody) -> Response | None:
        # Not `request.url.path`: it is built from the Host header as well, and the router uses the path of the scope.
        path, is_local_host, principal = request.scope["path"], is_loopback(_parse_host(request)), None
        if len(request.headers.getlist("Host")) > 1:
            return _multiple_hosts(request)
        if path in PUBLIC_PATHS or path.startswith((STATIC_PREFIX, WEBHOOK_PREFIX)):
            if not is_local_host and not await self._authenticator.is_enabled():
                return _host_not_allowed(request)
        else:
            principal = await self._authenticator.authenticate(request)
            if principal is None:
                return _login_required(request)
            if not is_local_host and not principal.name:
                return _host_not_allowed(request)
            request.state.principal = principal
            request.state.csrf = self._authenticator.build_csrf_token(principal)
        if request.method in _SAFE_METHODS:
            return None
        return await self._find_write_rejection(request, principal, body)

    async def _find_write_rejection(
        self, request: Request, principal: Principal | None, body: RequestBody
    ) -> Response | None:
        if is_cross_site(request):
            return _csrf_failed(request)
        max_bytes = MAX_ANONYMOUS_BODY_BYTES if principal is None else MAX_BODY_BYTES
        if not await body.read(request, max_bytes):
            return error_response(
                request, 413, "The request body is too large.", f"Send at most {max_bytes:,} bytes."
            )
        if principal is None:
            return None
        if lacks_valid_csrf_token(request, principal, body.content, request.state.csrf):
            return _csrf_failed(request)
        if principal.may_act or request.scope["path"] == LOGOUT_PATH:
            return None
        return error_response(request, 403, *read_only_problem(principal))


def _login_required(request: Request) -> Response:
    """Redirect a browser to the login page, which returns to the same page and filters; answer 401 to others."""
    from_script = "HX-Request" in request.headers  # then the login must return to the page, not to this fragment
    here = quote(request.scope["path"]) + f"?{request.scope['query_string'].decode('latin-1')}"
    url = urlsplit(request.headers.get("HX-Current-URL", "") if from_script else here)
    page = f"{url.path}?{url.query}" if url.query else url.path
    login = "/login" if page in {"", "/", LOGOUT_PATH} else f"/login?to={quote(page, safe='')}"
    if from_script:
        return Response(status_code=401, headers={"HX-Redirect": login})
    if "text/html" in request.headers.get("Accept", ""):
        return RedirectResponse(login, 303)
    return problem_response(
        401,
        "Authentication required.",
        "Send the header `Authorization: Bearer TOKEN`. TOKEN is the value of ORCHESTRATOR_TOKEN or "
        "ORCHESTRATOR_READ_TOKEN, or a token from `orchestrator token create`.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _multiple_hosts(request: Request) -> Response:
    return error_response(request, 400, "The request has more than one Host header.", "Send exactly one.")


def _host_not_allowed(request: Request) -> Response:
    return error_response(
        request,
        421,
        "Host not allowed.",
        "Use http://127.0.0.1 or http://localhost with the port of the service, "
        "or set ORCHESTRATOR_TOKEN to allow other host names.",
    )


def read_only_problem(principal: Principal) -> tuple[str, str]:
    """Return detail and hint of the rejection of a read-only token."""
    return (
        f"Token {principal.name} is read-only.",
        "Use an operator token; `orchestrator token create NAME --role operator` creates one.",
    )


def _csrf_failed(request: Request) -> Response:
    return error_response(
        request,
        403,
        "CSRF validation failed.",
        "Reload the page and try again. A reverse proxy must forward the original Host header.",
    )


def _parse_host(request: Request) -> str:
    """Return the host name of the Host header without the port."""
    host = request.headers.get("Host", "")
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


class RequestBody:
    """Reads the body of a request up to a limit and replays it to the application."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_unreplayed_content = False
        self.content = b""

    async def read(self, request: Request, max_bytes: int) -> bool:
        """Read the whole body; return False if it is too large or the client disconnects."""
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
        """Act as the application's `receive`: return the body that was read, then further messages."""
        if not self._has_unreplayed_content:
            return await self._receive()
        self._has_unreplayed_content = False
        return {"type": "http.request", "body": self.content, "more_body": False}
