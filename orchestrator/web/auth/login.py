"""The login page: exchanges an access token for a session cookie."""

from __future__ import annotations

import re
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.web.auth.authenticator import Authenticator
from orchestrator.web.auth.csrf import parse_form_field
from orchestrator.web.page_renderer import render_page

LOCAL_PATH_PATTERN: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path on this host in printable ASCII: prevents redirects to another host and header injection."""


class LoginRoutes:
    """Routes to log in and out."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self.router = APIRouter(include_in_schema=False)
        self.router.add_api_route("/login", self.render_login_page, methods=["GET"])
        self.router.add_api_route("/login", self.log_in, methods=["POST"])
        self.router.add_api_route("/logout", self.log_out, methods=["POST"])

    async def render_login_page(self, request: Request) -> Response:
        if await self._authenticator.authenticate(request):
            return RedirectResponse(_redirect_target(request), 303)
        return render_page(request, "login.html", query=request.url.query, wrong=False)

    async def log_in(self, request: Request) -> Response:
        response = RedirectResponse(_redirect_target(request), 303)
        token = parse_form_field(request, await request.body(), "token")
        if await self._authenticator.login(token.strip(), request, response):
            return response
        return render_page(request, "login.html", status=401, query=request.url.query, wrong=True)

    async def log_out(self) -> Response:
        response = RedirectResponse("/login", 303)
        self._authenticator.logout(response)
        return response


def _redirect_target(request: Request) -> str:
    """Return the page to which the browser is redirected after the login; never another host."""
    path = request.query_params.get("to", "/")
    return path if LOCAL_PATH_PATTERN.fullmatch(path) else "/"
