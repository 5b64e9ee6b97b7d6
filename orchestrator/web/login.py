"""Login: a browser gives a token and gets a session."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from orchestrator.web.door import Door
from orchestrator.web.pages import page

_FORM_BYTES: Final = 4096


class Login:
    """The login page and the way out."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.routes = APIRouter()
        self.routes.add_api_route("/login", self.show, methods=["GET"])
        self.routes.add_api_route("/login", self.enter, methods=["POST"])
        self.routes.add_api_route("/logout", self.leave, methods=["POST"])

    async def show(self, request: Request) -> Response:
        if self._door.role(request):
            return RedirectResponse("/", 303)
        return page("login.html", query=request.url.query, wrong=False)

    async def enter(self, request: Request) -> Response:
        query = request.url.query
        answer = RedirectResponse("/" + (f"?{query}" if query else ""), 303)
        token = await _field(request, "token")
        if self._door.let_in(token.strip(), answer, secure=request.url.scheme == "https"):
            return answer
        return page("login.html", status=401, query=query, wrong=True)

    async def leave(self, request: Request) -> Response:
        answer = RedirectResponse("/login", 303)
        self._door.let_out(answer)
        return answer


async def _field(request: Request, name: str) -> str:
    """One field of a small form; a large one is not even read."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _FORM_BYTES:
            raise HTTPException(413, "the form is too large")
    fields = parse_qs(body.decode("utf-8", "replace"))
    return fields.get(name, [""])[0]
