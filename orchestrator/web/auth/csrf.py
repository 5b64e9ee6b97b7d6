"""Forgery: whether a request that changes something was really made on our own pages (CSRF)."""

from __future__ import annotations

import hmac
from typing import Final
from urllib.parse import parse_qs, urlsplit

from fastapi import Request

from orchestrator.web.auth.principal import Principal

CSRF_HEADER_NAME: Final = "X-CSRF-Token"
CSRF_FIELD_NAME: Final = "csrf"
_FORM_MEDIA_TYPE: Final = "application/x-www-form-urlencoded"


def is_cross_site(request: Request) -> bool:
    """Whether a browser says that another site's page sent this. Programs say nothing."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("Host")


def lacks_valid_csrf_token(request: Request, principal: Principal, body: bytes, expected: str) -> bool:
    """Whether the session's own mark is missing from what a browser sends. A bearer token is mark enough."""
    if principal.session is None:
        return False
    from_browser = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
    if not principal.session and not from_browser:
        return False  # a program on a machine that needs no token
    given = request.headers.get(CSRF_HEADER_NAME) or parse_form_field(request, body, CSRF_FIELD_NAME)
    return not hmac.compare_digest(given.encode(), expected.encode())


def parse_form_field(request: Request, body: bytes, name: str) -> str:
    """One field of a form that was sent, or "" where there is none."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != _FORM_MEDIA_TYPE:
        return ""
    return parse_qs(body.decode("utf-8", "replace")).get(name, [""])[0]
