"""Login: a browser gives a token and gets a session."""

from __future__ import annotations

import re
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.web.door import Door
from orchestrator.web.forgery import field
from orchestrator.web.pages import page

OURS: Final = re.compile(r"/(?![/\\])[!-\[\]-~]*")  # a path: no other host, nothing a header could not hold


class Login:
    """The login page and the way out."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.routes = APIRouter(include_in_schema=False)
        self.routes.add_api_route("/login", self.show, methods=["GET"])
        self.routes.add_api_route("/login", self.enter, methods=["POST"])
        self.routes.add_api_route("/logout", self.leave, methods=["POST"])

    async def show(self, request: Request) -> Response:
        if await self._door.who(request):
            return RedirectResponse(_target(request), 303)
        return page(request, "login.html", query=request.url.query, wrong=False)

    async def enter(self, request: Request) -> Response:
        answer = RedirectResponse(_target(request), 303)
        token = field(request, await request.body(), "token")
        if await self._door.let_in(token.strip(), request, answer):
            return answer
        return page(request, "login.html", status=401, query=request.url.query, wrong=True)

    async def leave(self) -> Response:
        answer = RedirectResponse("/login", 303)
        self._door.let_out(answer)
        return answer


def _target(request: Request) -> str:
    """Where the browser wanted to go."""
    wanted = request.query_params.get("to", "/")
    return wanted if OURS.fullmatch(wanted) else "/"
