"""Wording: numbers and times as people read them."""

from __future__ import annotations

import re

from markupsafe import Markup, escape


def format_number(value: int) -> str:
    """12345 as 12,345."""
    return f"{value:,}"


def format_usd(value: float) -> str:
    """Dollars and cents; what is less than a cent says so."""
    return "under $0.01" if 0 < value < 0.005 else f"${value:,.2f}"


def format_count(count: int, noun: str) -> str:
    """1 account, 2 accounts."""
    return f"{format_number(count)} {noun}" + ("" if count == 1 else "s")


def format_duration(seconds: float) -> str | None:
    """A time in its largest unit; None under a minute."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return None


def render_message(text: str) -> Markup:
    """A message for a page: escaped, and what stands in backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def format_remaining_time(seconds: float) -> str:
    """How long something may still take, as roughly as it is known."""
    if seconds < 60:
        return "under a minute"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"about {minutes} min"
    hours = round(seconds / 3600)
    return f"about {hours} h" if hours < 48 else f"about {round(seconds / 86400)} days"


def format_identifier(name: str) -> str:
    """A name of the code as words."""
    return name.replace("_", " ")
