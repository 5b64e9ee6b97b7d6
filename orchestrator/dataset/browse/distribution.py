"""The distribution of a number over the examples of a dataset: bars of equal width, and an open one for outliers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from orchestrator.core.structs import Struct

MAX_BARS: Final = 24
# One example of 100,000 tokens among thousands of 200 would leave one bar: values above this multiple of the 99th
# percentile share the last bar.
_OUTLIER_FACTOR: Final = 2


class Distribution(Struct, frozen=True, kw_only=True):
    """Bar `i` counts the values from `start + i * width` to below the next bar; `open_bar` has no end."""

    start: int = 0
    width: int = 1
    counts: tuple[int, ...] = ()
    sums: tuple[int, ...] = ()  # of the values of each bar
    open_bar: int | None = None  # always the last one
    median: int = 0
    percentile_95: int = 0
    largest: int = 0
    total: int = 0  # sum of all values

    def get_bound(self, bar: int) -> int:
        """Return the smallest value of a bar."""
        return self.start + bar * self.width


def build_distribution(values: Iterable[int]) -> Distribution:
    """Build a distribution with at most `MAX_BARS` bars. The width of a bar is 1, 2 or 5 times a power of ten."""
    tally = sorted(Counter(values).items())
    if not tally:
        return Distribution()
    ranks = list(accumulate(count for _, count in tally))
    median, high, cap = (_find_percentile(tally, ranks, share) for share in (0.5, 0.95, 0.99))
    smallest, largest = tally[0][0], tally[-1][0]
    if largest <= _OUTLIER_FACTOR * cap:
        cap = largest
    width = next(size for size in _iter_widths() if cap // size < MAX_BARS - 1)
    start = smallest if width == 1 else 0
    last = (cap - start) // width
    is_open = (largest - start) // width > last
    counts, sums = ([0] * (last + 1 + is_open) for _ in range(2))
    for value, count in tally:
        bar = min((value - start) // width, len(counts) - 1)
        counts[bar] += count
        sums[bar] += value * count
    return Distribution(
        start=start,
        width=width,
        counts=tuple(counts),
        sums=tuple(sums),
        open_bar=last + 1 if is_open else None,
        median=median,
        percentile_95=high,
        largest=largest,
        total=sum(sums),
    )


def _find_percentile(tally: list[tuple[int, int]], ranks: list[int], share: float) -> int:
    return next(value for (value, _), rank in zip(tally, ranks, strict=True) if rank >= share * ranks[-1])


def _iter_widths() -> Iterator[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10
