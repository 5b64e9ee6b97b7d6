"""Answer: a view as a page, whole; a poll that has it already gets 304."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request
from fastapi.responses import Response

from orchestrator.web.dashboard.confirm import build_confirm_href
from orchestrator.web.headers import build_etag, not_modified_response
from orchestrator.web.pages import ASSETS_FINGERPRINT, render_page

_PAGE_CACHE_CONTROL: Final = "no-store"  # after a logout, the way back in the browser shows nothing


def build_page_response(request: Request, template: str, view: Any, *, status_code: int = 200) -> Response:
    """The page of this template. Who looks is part of it: buttons are shown to those who may act."""
    who = (request.state.principal, request.state.csrf)
    tag = build_etag(f"{ASSETS_FINGERPRINT} {who} {view!r}".encode())
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return not_modified_response(request, tag, _PAGE_CACHE_CONTROL) or render_page(
        request,
        template,
        status=status_code,
        headers={"ETag": tag},
        view=view,
        tag=tag,
        here=here,
        confirming=build_confirm_href,
    )
