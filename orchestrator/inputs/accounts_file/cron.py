"""Validates a five-field cron line and replaces its weekday numbers by names."""

from __future__ import annotations

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SHORT_MONTH_LENGTHS = {  # the others have 31 days; February has 29 in leap years
    2: ("February", 29),
    4: ("April", 30),
    6: ("June", 30),
    9: ("September", 30),
    11: ("November", 30),
}
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _WEEKDAYS),
)


def normalise_cron_line(line: str) -> str:
    """Return the cron line with names of weekdays. Raises ValueError, which names the field.

    Cron counts weekdays from Sunday and APScheduler from Monday; names mean the same to both. A day of the month
    together with a weekday is refused: cron fires when one of them matches, APScheduler when both do.
    """
    fields = line.lower().split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            'must have five fields, minute hour day month weekday, as in "0 3 * * 1" (Mondays at 03:00 UTC)'
        )
    days = [_parse_field(text, *field) for text, field in zip(fields, _FIELDS, strict=True)]
    if fields[2] != "*" and fields[4] != "*":
        raise ValueError('cannot have a day of the month and a weekday together; write "*" for one of them')
    _check_date(days[2], days[3])
    if fields[4] != "*":
        fields[4] = ",".join(dict.fromkeys(_WEEKDAYS[day % 7] for day in days[4]))
    return " ".join(fields)


def _check_date(days: list[int], months: list[int]) -> None:
    """Raise ValueError where none of the months has one of the days: the line would be accepted and never fire."""
    short = [_SHORT_MONTH_LENGTHS[month] for month in dict.fromkeys(months) if month in _SHORT_MONTH_LENGTHS]
    if len(short) < len(set(months)) or any(min(days) <= last for _, last in short):
        return
    names = ", ".join(name for name, _ in short)
    listed = ", ".join(str(day) for day in dict.fromkeys(days))
    raise ValueError(
        f"never fires: {names} {'has' if len(short) == 1 else 'have'} no day {listed}; "
        "choose a day that the month has"
    )


def _parse_field(text: str, name: str, low: int, high: int, names: tuple[str, ...]) -> list[int]:
    """Return the values that a field matches."""
    values: list[int] = []
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, last = _parse_range(span, name, low, high, names)
        if "/" in part and not (step.isdecimal() and int(step) > 0):
            raise ValueError(f"has a step that is not a positive number in the field for the {name}")
        values += range(first, (high if step and "-" not in span else last) + 1, int(step or 1))
    return values


def _parse_range(text: str, name: str, low: int, high: int, names: tuple[str, ...]) -> tuple[int, int]:
    if text == "*":
        return low, high
    start, dash, end = text.partition("-")
    first = _parse_value(start, name, low, high, names)
    last = _parse_value(end, name, low, high, names) if dash else first
    if last < first:
        raise ValueError(f"has a range that runs backwards in the field for the {name}")
    return first, last


def _parse_value(text: str, name: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + low
    if text.isascii() and text.isdecimal() and low <= int(text) <= high:
        return int(text)
    raise ValueError(f"must have values from {low} to {high} in the field for the {name}")
