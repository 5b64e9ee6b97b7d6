"""Template filters: values, messages and identifiers. Numbers, prices and times are formatted by `core.text`."""

from __future__ import annotations

import re
from typing import Any, Final

from markupsafe import Markup, escape

from orchestrator.core.hold import HoldKind
from orchestrator.core.text_sanitizer import sanitize_html

_WORDS: Final = {HoldKind.RUN_TOO_EXPENSIVE.value: "run too expensive"}  # the stored value stays as it is


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
    return _WORDS.get(name) or name.removeprefix("n_").replace("_", " ")
