"""CSRF protection: checks that a state-changing request comes from a page of this service.

Two independent checks apply to every request that is not GET, HEAD or OPTIONS: the same-origin check
(`is_cross_site`) and the CSRF token of the session (`lacks_valid_csrf_token`). Requests with a bearer token need no
CSRF token, because a browser never attaches that header to a request of another site.
"""

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
    """Return whether the browser reports that a page of another origin sent the request.

    Clients other than browsers send neither `Sec-Fetch-Site` nor `Origin`; their requests are not cross-site.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:  # set by the browser itself: a page cannot change it
        return site not in {"same-origin", "none"}
    origin = request.headers.get("Origin")  # older browsers
    return origin is not None and urlsplit(origin).netloc != request.headers.get("Host")


def lacks_valid_csrf_token(request: Request, principal: Principal, body: bytes, expected: str) -> bool:
    """Return whether a request that needs a CSRF token has none or a wrong one, in the header or as a form field."""
    if principal.session is None:  # authenticated by a bearer token
        return False
    from_browser = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
    if not principal.session and not from_browser:  # no tokens configured, and the client is not a browser
        return False
    token = request.headers.get(CSRF_HEADER_NAME) or parse_form_field(request, body, CSRF_FIELD_NAME)
    return not hmac.compare_digest(token.encode(), expected.encode())  # constant time: the difference reveals nothing


def parse_form_field(request: Request, body: bytes, name: str) -> str:
    """Return the first value of a field of an URL-encoded form; "" if it is missing or the body is no such form."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != _FORM_MEDIA_TYPE:
        return ""
    return parse_qs(body.decode("utf-8", "replace")).get(name, [""])[0]
