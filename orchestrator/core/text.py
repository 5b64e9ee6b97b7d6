"""Formats numbers, prices, durations, times and lists for people.

Every part of the program uses these functions, so that the same price, time or count reads the same in the command
line, on the dashboard, in messages and in notifications.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from itertools import pairwise
from typing import Final

_DURATION_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"))
_BYTE_UNITS: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_MINUTE: Final = 60
_ONE_CENT: Final = 0.01
_SMALLEST_SHOWN_USD: Final = 0.0001
_MAX_USD_DIGITS: Final = 17


def format_number(value: int) -> str:
    """Format an integer with thousands separators: 12,345."""
    return f"{value:,}"


def format_count(count: int, noun: str, plural: str | None = None) -> str:
    """Format a count with its noun: "1 account", "2 accounts". `plural` is needed where it is not noun + "s"."""
    return f"{format_number(count)} {noun if count == 1 else plural or f'{noun}s'}"


def format_list(
    items: Sequence[str], *, limit: int | None = None, total: int | None = None, separator: str = ", "
) -> str:
    """List the first `limit` items and count the rest: "a, b and 3 more".

    `total` is the number of all items where `items` are only the first of them. With another separator than a comma,
    the count is an item as well: "a; b; and 3 more".
    """
    shown = items[:limit]
    hidden = (len(items) if total is None else total) - len(shown)
    text = separator.join(shown)
    if hidden <= 0:
        return text
    return f"{text}{' ' if separator == ', ' else separator}and {format_number(hidden)} more"


def to_percent(fraction: float) -> int:
    """Convert a fraction from 0 to 1 to a whole percentage. It is rounded down: 100 means complete."""
    return int(fraction * 100 + 1e-9)  # 0.29 * 100 is 28.999999999999996


def format_percent(fraction: float) -> str:
    """Format a fraction from 0 to 1 as a whole percentage, rounded down like `to_percent`."""
    return f"{to_percent(fraction)}%"


def format_usd(amount: float | None) -> str:
    """Format US dollars with cents. Less than a cent keeps four digits; None is an unknown price."""
    if amount is None:
        return "unknown"
    if 0 < amount < _SMALLEST_SHOWN_USD:
        return f"under ${_SMALLEST_SHOWN_USD}"
    return f"${amount:.4f}" if 0 < round(amount, 4) < _ONE_CENT else f"${amount:,.2f}"


def format_usd_limit(amount: float) -> str:
    """Format US dollars for an option that limits the price: rounded up to cents, never below the amount."""
    return str(Decimal(repr(amount)).quantize(Decimal("0.01"), ROUND_CEILING))


def format_different_usd(first: float, second: float) -> tuple[str, str]:
    """Format two different amounts with as many digits as are needed to see the difference."""
    texts = format_usd(first), format_usd(second)
    for digits in range(3, _MAX_USD_DIGITS + 1):
        if texts[0] != texts[1]:
            break
        texts = f"${first:,.{digits}f}", f"${second:,.{digits}f}"
    return texts


def format_bytes(count: int) -> str:
    """Format a number of bytes in the largest binary unit that keeps it a whole number."""
    for size, unit in _BYTE_UNITS:
        if count >= size and count % size == 0:
            return f"{format_number(count // size)} {unit}"
    return f"{format_number(count)} bytes"


def format_duration(seconds: float) -> str:
    """Format a duration as a whole number of its largest unit: "6 h"."""
    for size, unit in _DURATION_UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"


def format_exact_duration(seconds: float) -> str:
    """Format a duration with its two largest units: "45 s", "12 min 5 s", "6 h 20 min", "2 d 3 h"."""
    units = (*_DURATION_UNITS, (1, "s"))
    rest = max(int(seconds), 0)
    for (size, unit), (smaller, smaller_unit) in pairwise(units):
        if rest >= size:
            more = rest % size // smaller
            return f"{rest // size} {unit} {more} {smaller_unit}" if more else f"{rest // size} {unit}"
    return f"{rest} s"


def format_age(seconds: float) -> str:
    """Format how long ago something happened: "6 h ago", or "just now" for less than a minute."""
    return "just now" if seconds < _MINUTE else f"{format_duration(seconds)} ago"


def format_remaining_time(seconds: float) -> str:
    """Format an estimate of the time that is left: "under a minute", "about 40 min", "about 3 days"."""
    if seconds < _MINUTE:
        return "under a minute"
    minutes = round(seconds / _MINUTE)
    if minutes < 100:
        return f"about {minutes} min"
    hours = round(seconds / 3600)
    return f"about {hours} h" if hours < 48 else f"about {round(seconds / 86400)} days"


def format_time(seconds: float) -> str:
    """Format epoch seconds as date and time in UTC, to the minute."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def format_timestamp(seconds: float) -> str:
    """Format epoch seconds as date and time in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def format_days_left(days: int | None) -> str:
    """Format the days until a date, e.g. "in 3 days"; None or a negative number is in the past."""
    if days is None or days < 0:
        return "in the past"
    return "today" if days == 0 else f"in {format_count(days, 'day')}"
