"""Answer: a view as a page, whole; a poll that has it already gets 304."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response

from orchestrator.web.dashboard.confirm import href
from orchestrator.web.headers import etag, unchanged
from orchestrator.web.pages import ASSETS, page

_CACHE: Final = "no-store"  # after a logout, the way back in the browser shows nothing


def answer(request: Request, template: str, view: Any, *, status: int = 200) -> Response:
    """The page of this template. Who looks is part of it: buttons are shown to those who may act."""
    who = (request.state.principal, request.state.csrf)
    tag = etag(f"{ASSETS} {who} {view!r}".encode())
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return unchanged(request, tag, _CACHE) or page(
        request, template, status=status, headers={"ETag": tag}, view=view, tag=tag, here=here, confirming=href
    )
