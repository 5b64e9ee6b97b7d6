"""Headers: what every answer says about itself."""

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
"""For every answer that says nothing else: model ids and messages belong into no cache, of a browser or a proxy."""


def build_etag(content: bytes) -> str:
    """A strong entity tag of this content."""
    return f'"{sha256(content).hexdigest()[:32]}"'


def not_modified_response(request: Request, tag: str, cache_control: str) -> Response | None:
    """The answer 304 if the asker already has what `tag` stands for."""
    held = [each.strip().removeprefix("W/") for each in request.headers.get("If-None-Match", "").split(",")]
    if tag in held or "*" in held:
        return Response(status_code=304, headers={"ETag": tag, "Cache-Control": cache_control})
    return None
