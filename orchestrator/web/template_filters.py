"""Wording: numbers and times as people read them."""

from __future__ import annotations

import re

from markupsafe import Markup, escape


def render_message(text: str) -> Markup:
    """A message for a page: escaped, and what stands in backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def format_identifier(name: str) -> str:
    """A name of the code as words."""
    return name.replace("_", " ")
