"""Security headers, cache headers and entity tags of responses."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from fastapi import Request
from fastapi.responses import Response

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

NO_STORE: Final = {"Cache-Control": "no-store"}
"""Default of all responses except static files: no browser or proxy may cache model ids and messages."""


def build_etag(content: bytes) -> str:
    """Return a strong entity tag of the content."""
    return f'"{sha256(content).hexdigest()[:32]}"'


def not_modified_response(request: Request, tag: str, cache_control: str) -> Response | None:
    """Return a 304 response if the client already has the version with this entity tag, else None."""
    client_tags = [each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(",")]
    if tag in client_tags or "*" in client_tags:
        return Response(status_code=304, headers={"ETag": tag, "Cache-Control": cache_control})
    return None
