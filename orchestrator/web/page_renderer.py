"""Renders the HTML templates. Templates and static files are part of the package."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestrator.core import text
from orchestrator.web import template_filters
from orchestrator.web.help_topics import find_help_href

_PACKAGE_FOLDER: Final = Path(__file__).parent
STATIC_FOLDER: Final = _PACKAGE_FOLDER / "static"
_TEMPLATES_FOLDER: Final = _PACKAGE_FOLDER / "templates"


def _compute_assets_fingerprint() -> str:
    files = sorted(
        path for folder in (STATIC_FOLDER, _TEMPLATES_FOLDER) for path in folder.iterdir() if path.is_file()
    )
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


ASSETS_FINGERPRINT: Final = _compute_assets_fingerprint()
"""Changes with every template and static file; in the URL of each static file, so that no browser uses an old one."""

_environment = Environment(
    loader=FileSystemLoader(_TEMPLATES_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=template_filters.sanitize_value,
)
_environment.globals["assets"] = ASSETS_FINGERPRINT
_environment.globals["find_help_href"] = find_help_href
_environment.filters |= {
    "usd": text.format_usd,
    "number": text.format_number,
    "plural": text.format_count,
    "prose": template_filters.render_message,
    "words": template_filters.format_identifier,
}


def render_document(template: str, **values: Any) -> str:
    """Render a template that is not a page of the service."""
    return _environment.get_template(template).render(**values)


def render_page(
    request: Request, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """Render a template as a response.

    Every template can use `principal`, which is None for an unauthenticated client, and `csrf`, the CSRF token that
    each form must contain.
    """
    client = {name: getattr(request.state, name, None) for name in ("principal", "csrf")}
    html = _environment.get_template(template).render(**client, **values)
    return HTMLResponse(html, status, {"Cache-Control": "no-store", **(headers or {})})
