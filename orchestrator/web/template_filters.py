"""Template filters that format numbers, money, durations and messages."""

from __future__ import annotations

import re

from markupsafe import Markup, escape


def format_number(value: int) -> str:
    """Format 12345 as "12,345"."""
    return f"{value:,}"


def format_usd(value: float) -> str:
    """Format an amount as dollars and cents, e.g. "$1,234.50"; "under $0.01" for less than half a cent."""
    return "under $0.01" if 0 < value < 0.005 else f"${value:,.2f}"


def format_count(count: int, noun: str, plural: str = "") -> str:
    """Format a count with its noun: "1 account", "2 accounts". `plural` is needed if it is not formed with -s."""
    return f"{format_number(count)} {noun if count == 1 else plural or noun + 's'}"


def format_duration(seconds: float) -> str | None:
    """Format a duration in its largest unit, e.g. "3 h"; None for less than a minute."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return None


def render_message(text: str) -> Markup:
    """Escape a message for HTML and render text in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def format_remaining_time(seconds: float) -> str:
    """Format an estimated duration roughly, e.g. "about 20 min"."""
    if seconds < 60:
        return "under a minute"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"about {minutes} min"
    hours = round(seconds / 3600)
    return f"about {hours} h" if hours < 48 else f"about {round(seconds / 86400)} days"


def format_identifier(name: str) -> str:
    """Format an identifier such as `key_invalid` as words."""
    return name.replace("_", " ")
