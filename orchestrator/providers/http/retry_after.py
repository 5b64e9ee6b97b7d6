"""Parses how long a server asks its client to wait, from a header or from the text of its refusal.

The class of an error never depends on its text. Only the waiting time is parsed from it, because many servers state
it nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf
from typing import Final

_MAX_SEARCHED_CHARACTERS: Final = 2000  # of a message that may be of any size
_UNIT_PATTERN: Final = r"(ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
_AMOUNT_PATTERN: Final = re.compile(rf"([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?) ?{_UNIT_PATTERN}", re.IGNORECASE)
_WAIT_PATTERN: Final = re.compile(
    rf"(?:try|retry)(?: again)? (?:in|after) "
    rf"((?:[0-9]{{1,9}}(?:\.[0-9]{{1,9}})? ?{_UNIT_PATTERN}(?:,? (?:and )?)?){{1,4}})",
    re.IGNORECASE,
)
_UNIT_SECONDS: Final = {
    "ms": 0.001,
    "s": 1.0,
    "se": 1.0,
    "m": 60.0,
    "mi": 60.0,
    "h": 3600.0,
    "ho": 3600.0,
    "hr": 3600.0,
    "d": 86400.0,
    "da": 86400.0,
}


def parse_retry_after(headers: Mapping[str, str], message: str = "") -> float | None:
    """Return the requested seconds, from the header or from words such as "try again in 7m12s"; None if neither."""
    header = headers.get("retry-after")
    if header is None:
        return _parse_seconds(message)
    try:
        seconds = float(header)
    except ValueError:
        return _seconds_until(header, headers.get("date"))
    return seconds if 0 <= seconds < inf else None


def _seconds_until(retry_after_date: str, date: str | None) -> float | None:
    """Return the seconds from the server's own Date to the time it names: its clock may differ from ours."""
    try:
        until, now = parsedate_to_datetime(retry_after_date), parsedate_to_datetime(date or "")
        return max((_to_utc(until) - _to_utc(now)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None


def _to_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse_seconds(message: str) -> float | None:
    match = _WAIT_PATTERN.search(message[:_MAX_SEARCHED_CHARACTERS])
    if match is None:
        return None
    amounts = [float(number) * _UNIT_SECONDS[unit[:2].lower()] for number, unit in _AMOUNT_PATTERN.findall(match[1])]
    return sum(amounts)
