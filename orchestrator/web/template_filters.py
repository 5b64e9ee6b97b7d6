"""Template filters: values, messages and identifiers. Numbers, prices and times are formatted by `core.text`."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup, escape

from orchestrator.core.text_sanitizer import sanitize_html


def sanitize_value(value: Any) -> Any:
    """Escape what reverses text in a value of a template: a provider's message could rewrite its own hint."""
    if not isinstance(value, str):
        return value
    return Markup(sanitize_html(value)) if isinstance(value, Markup) else sanitize_html(value)


def render_message(text: str) -> Markup:
    """Escape a message for HTML and render text in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def format_identifier(name: str) -> str:
    """Format an identifier such as `key_invalid` or `n_epochs` as words."""
    return name.removeprefix("n_").replace("_", " ")
