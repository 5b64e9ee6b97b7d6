"""Template filters of messages and identifiers. Numbers, prices and times are formatted by `core.text`."""

from __future__ import annotations

import re
from typing import Final

from markupsafe import Markup, escape

from orchestrator.core.hold import HoldKind

_WORDS: Final = {HoldKind.RUN_TOO_EXPENSIVE.value: "run too expensive"}  # the stored value stays as it is


def render_message(text: str) -> Markup:
    """Escape a message for HTML and render text in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def format_identifier(name: str) -> str:
    """Format an identifier such as `key_invalid` or `n_epochs` as words."""
    return _WORDS.get(name) or name.removeprefix("n_").replace("_", " ")
