"""Pages: templates and static files, both part of the package."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from orchestrator.web import wording

_HERE: Final = Path(__file__).parent
STATIC_FOLDER: Final = _HERE / "static"
_TEMPLATES: Final = _HERE / "templates"


def _fingerprint() -> str:
    files = sorted(path for folder in (STATIC_FOLDER, _TEMPLATES) for path in folder.iterdir() if path.is_file())
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


ASSETS: Final = _fingerprint()  # changes with every template and static file, so that no browser shows old ones

_environment = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["assets"] = ASSETS
_environment.filters |= {
    "usd": wording.usd,
    "number": wording.number,
    "plural": wording.plural,
    "prose": wording.prose,
    "words": wording.words,
}


def page(
    request: Request, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """A template as an answer. It may use `principal`, None for a stranger, and `csrf`, which every form carries."""
    who = {name: getattr(request.state, name, None) for name in ("principal", "csrf")}
    html = _environment.get_template(template).render(**who, **values)
    return HTMLResponse(html, status, {"Cache-Control": "no-store", **(headers or {})})
