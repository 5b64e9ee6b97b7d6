"""The heat map of the distances between the accounts of one group, and the same figures as a table.

The map is an SVG drawing with one path for each shade, because 100 accounts have 10,000 cells. Neighbours are alike
and outliers come last (distance_order.py). The script of the page names the cell at the pointer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from orchestrator.core.structs import Struct
from orchestrator.core.text import format_count, format_list
from orchestrator.web.dashboard.comparisons.distance_order import order_accounts

MAX_DRAWN_ACCOUNTS: Final = 150
MAX_NUMBERED_ACCOUNTS: Final = 16  # with more, the cells are too small for their numbers
MAX_LABELLED_ACCOUNTS: Final = 40  # with more, only the accounts that are not alike are named
LEVELS: Final = 8
MIN_RANGE: Final = 0.1  # of the shades: a smaller one would make noise look like a difference
_MIN_LABEL_GAP: Final = 2.3  # percent of the height of the map

Distances = Mapping[tuple[str, str], float]


class HeatLevel(Struct, frozen=True):
    """All cells of one shade. `path` is in units of one cell."""

    level: int
    path: str


class HeatLabel(Struct, frozen=True):
    """The name of a row. Positions are percent of the height; a label that had to move has a line to its row."""

    text: str
    account: str
    y: float
    row_y: float


class HeatNumber(Struct, frozen=True):
    """The distance inside a cell, in units of one cell."""

    x: float
    y: float
    text: str
    level: int


class LegendStep(Struct, frozen=True):
    """One shade of the legend; the first and the last have a label."""

    level: int
    label: str


class DistanceRow(Struct, frozen=True, kw_only=True):
    """The distances of one account, for readers of the table."""

    account: str
    verdict: str
    mean: str
    nearest: str
    farthest: str


class HeatMap(Struct, frozen=True, kw_only=True):
    """View of the map of one group."""

    key: str  # unique within the page
    group: str
    accounts: tuple[str, ...]  # in the order of the map
    description: str
    levels: tuple[HeatLevel, ...]
    labels: tuple[HeatLabel, ...]
    columns: tuple[tuple[str, float], ...]  # number and position in percent
    numbers: tuple[HeatNumber, ...]
    legend: tuple[LegendStep, ...]
    values: str  # distances in hundredths below the diagonal, row by row, for the script
    rows: tuple[DistanceRow, ...]
    note: str

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self.accounts)


def build_heat_maps(document: Mapping[str, Any], comparison_id: str) -> tuple[HeatMap, ...]:
    """Build the map of each group with at least two accounts."""
    verdicts = {each["account"]: each["verdict"] for each in document["accounts"]}
    distances = {(each["accounts"][0], each["accounts"][1]): each["distance"] for each in document["distances"]}
    groups = [each for each in document["groups"] if len(each["accounts"]) > 1]
    return tuple(
        _build_heat_map(f"map-{comparison_id[:8]}-{number}", group, distances, verdicts)
        for number, group in enumerate(groups, start=1)
    )


def _build_heat_map(key: str, group: Mapping[str, Any], distances: Distances, verdicts: Mapping[str, str]) -> HeatMap:
    drawn = sorted(group["accounts"], key=lambda name: (verdicts[name] == "alike", name))[:MAX_DRAWN_ACCOUNTS]
    accounts = order_accounts(drawn, distances)
    scale = _Scale(group["floor"], _list_values(accounts, distances))
    cells = [[scale.get_level(_find(distances, row, column)) for column in accounts] for row in accounts]
    left_out = len(group["accounts"]) - len(accounts)
    return HeatMap(
        key=key,
        group=group["group"],
        accounts=accounts,
        description=_describe(group["group"], accounts, distances, verdicts),
        levels=_build_levels(cells),
        labels=_build_labels(accounts, verdicts),
        columns=tuple(
            (str(number), round(100 * (number - 0.5) / len(accounts), 2)) for number in range(1, len(accounts) + 1)
        )
        if len(accounts) <= MAX_NUMBERED_ACCOUNTS
        else (),
        numbers=_build_numbers(accounts, distances, scale),
        legend=scale.build_legend(),
        values=_encode_values(accounts, distances),
        rows=_build_rows(accounts, distances, verdicts),
        note=f"{format_count(left_out, 'alike account')} not drawn." if left_out else "",
    )


class _Scale:
    """Shades from the distance of a model to itself up to the largest distance."""

    def __init__(self, floor: float, values: Sequence[float]) -> None:
        self._low = floor
        self._high = max([*values, floor + MIN_RANGE])

    def get_level(self, distance: float | None) -> int | None:
        if distance is None:
            return None
        share = (distance - self._low) / (self._high - self._low)
        return min(max(int(share * LEVELS), 0), LEVELS - 1)

    def build_legend(self) -> tuple[LegendStep, ...]:
        labels = {0: f"{self._low:.2f} as one model twice", LEVELS - 1: f"{self._high:.2f}"}
        return tuple(LegendStep(level, labels.get(level, "")) for level in range(LEVELS))


def _find(distances: Distances, one: str, other: str) -> float | None:
    return distances.get((one, other), distances.get((other, one)))


def _list_values(accounts: Sequence[str], distances: Distances) -> list[float]:
    pairs = ((one, other) for number, one in enumerate(accounts) for other in accounts[:number])
    return [value for pair in pairs if (value := _find(distances, *pair)) is not None]


def _build_levels(cells: Sequence[Sequence[int | None]]) -> tuple[HeatLevel, ...]:
    """Draw equal neighbours of a row as one rectangle, which makes the drawing several times smaller."""
    parts: dict[int, list[str]] = {}
    for y, row in enumerate(cells):
        x = 0
        while x < len(row):
            end = x + 1
            while end < len(row) and row[end] == row[x]:
                end += 1
            if (level := row[x]) is not None:
                parts.setdefault(level, []).append(f"M{x} {y}h{end - x}v1h{x - end}z")
            x = end
    return tuple(HeatLevel(level, "".join(paths)) for level, paths in sorted(parts.items()))


def _build_labels(accounts: Sequence[str], verdicts: Mapping[str, str]) -> tuple[HeatLabel, ...]:
    """Name the rows. Labels that would overlap are moved up, from the last one to the first."""
    has_all, has_numbers = len(accounts) <= MAX_LABELLED_ACCOUNTS, len(accounts) <= MAX_NUMBERED_ACCOUNTS
    labels: list[HeatLabel] = []
    limit = 100.0 + _MIN_LABEL_GAP / 2
    for number, account in reversed(list(enumerate(accounts, start=1))):
        if not has_all and verdicts[account] == "alike":
            continue
        row_y = 100 * (number - 0.5) / len(accounts)
        y = min(row_y, limit - _MIN_LABEL_GAP)
        if y < _MIN_LABEL_GAP / 2:
            break
        limit = y
        text = f"{number} {account}" if has_numbers else account
        labels.append(HeatLabel(text, account, round(y, 2), round(row_y, 2)))
    return tuple(reversed(labels))


def _build_numbers(accounts: Sequence[str], distances: Distances, scale: _Scale) -> tuple[HeatNumber, ...]:
    if len(accounts) > MAX_NUMBERED_ACCOUNTS:
        return ()
    return tuple(
        HeatNumber(x + 0.5, y + 0.5, f"{value:.2f}"[1 if value < 1 else 0 :], scale.get_level(value) or 0)
        for y, row in enumerate(accounts)
        for x, column in enumerate(accounts)
        if (value := _find(distances, row, column)) is not None
    )


def _encode_values(accounts: Sequence[str], distances: Distances) -> str:
    """Encode the distances below the diagonal; an unknown one is empty."""
    pairs = ((one, other) for number, one in enumerate(accounts) for other in accounts[:number])
    values = (_find(distances, *pair) for pair in pairs)
    return ",".join("" if value is None else str(round(value * 100)) for value in values)


def _build_rows(
    accounts: Sequence[str], distances: Distances, verdicts: Mapping[str, str]
) -> tuple[DistanceRow, ...]:
    means = {account: _calculate_mean(account, accounts, distances) for account in accounts}
    ordered = sorted(accounts, key=lambda name: (-(means[name] or 0.0), name))
    return tuple(_build_row(each, accounts, distances, verdicts[each], means[each]) for each in ordered)


def _calculate_mean(account: str, accounts: Sequence[str], distances: Distances) -> float | None:
    values = [value for each in accounts if (value := _find(distances, account, each)) is not None]
    return fmean(values) if values else None


def _build_row(
    account: str, accounts: Sequence[str], distances: Distances, verdict: str, mean: float | None
) -> DistanceRow:
    known = [
        (value, each)
        for each in accounts
        if each != account and (value := _find(distances, account, each)) is not None
    ]
    nearest, farthest = (min(known), max(known)) if known else (None, None)
    return DistanceRow(
        account=account,
        verdict=verdict,
        mean="–" if mean is None else f"{mean:.2f}",
        nearest=f"{nearest[0]:.2f}, {nearest[1]}" if nearest else "–",
        farthest=f"{farthest[0]:.2f}, {farthest[1]}" if farthest else "–",
    )


def _describe(group: str, accounts: Sequence[str], distances: Distances, verdicts: Mapping[str, str]) -> str:
    """Describe the map in words, for readers who cannot see it."""
    values = _list_values(accounts, distances)
    if not values:
        return f"No distances are known in {group}."
    text = (
        f"Distances between {format_count(len(accounts), 'account')} of {group}, from {min(values):.2f} to "
        f"{max(values):.2f}."
    )
    different = [name for name in accounts if verdicts[name] == "different"]
    return f"{text} Different: {format_list(different, limit=5)}." if different else text
