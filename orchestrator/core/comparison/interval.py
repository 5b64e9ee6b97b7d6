"""Confidence intervals of means over probes and of differences between rates.

The probe is the unit: probes are drawn with replacement, because the question is how the models would behave on other
probes of the same kind. Every draw has a fixed seed, so the same answers give the same report.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from statistics import NormalDist, fmean, stdev
from typing import Final

from orchestrator.core.structs import Struct

BOOTSTRAP_DRAWS: Final = 2000
_SEED: Final = 20_261_128
_MIN_TAIL_DRAWS: Final = 10  # a quantile with fewer draws beyond it is not known
_MIN_NONZERO_VALUES: Final = 5
_MAX_DRAWN_PROBES: Final = 1000  # the mean of more is normally distributed, and samples of them would fill the memory
MAX_NEEDED_PROBES: Final = 10_000  # more are not worth a recommendation


class Interval(Struct, frozen=True):
    """An estimate and the bounds that its true value is within, with the confidence that the caller chose."""

    low: float
    estimate: float
    high: float
    count: int  # probes that the estimate rests on

    def is_inside(self, margin: float) -> bool:
        """Whether the whole interval is within `margin` of 0."""
        return -margin <= self.low and self.high <= margin

    def is_outside(self, margin: float) -> bool:
        """Whether the whole interval is farther than `margin` from 0."""
        return self.low > margin or self.high < -margin

    def count_needed_probes(self, margin: float) -> int | None:
        """Return how many probes would decide if the estimate stayed the same, or None if no usable number would.

        The width of an interval shrinks with the square root of the number of probes.
        """
        distance = abs(abs(self.estimate) - margin)
        half_width = max(self.high - self.estimate, self.estimate - self.low)
        if distance <= 0 or not self.count:
            return None
        needed = math.ceil(self.count * (half_width / distance) ** 2)
        return needed if needed <= MAX_NEEDED_PROBES else None


def estimate_mean(values: Sequence[float], *, tail: float, draws: int = BOOTSTRAP_DRAWS) -> Interval:
    """Return the mean of values in -1 to 1, with bounds that each exclude the true mean with probability `tail`.

    The bounds are quantiles of bootstrap means. They are too narrow in two cases, and are widened then: a `tail` that
    too few draws reach uses the normal distribution (as do many probes), and a sample of nearly only zeros uses the
    exact bound for a rate that was never observed, without which a few equal answers would prove equality.
    """
    count = len(values)
    if not count:
        return Interval(-1.0, 0.0, 1.0, 0)
    mean = fmean(values)
    if count == 1:
        return Interval(-1.0, mean, 1.0, 1)
    low = high = mean
    if count <= _MAX_DRAWN_PROBES:
        low, high = _draw_bounds(values, max(tail, _MIN_TAIL_DRAWS / draws), draws)
    if tail * draws < _MIN_TAIL_DRAWS or count > _MAX_DRAWN_PROBES:
        reach = NormalDist().inv_cdf(1 - tail) * stdev(values) / math.sqrt(count)
        low, high = min(low, mean - reach), max(high, mean + reach)
    if sum(value != 0 for value in values) < _MIN_NONZERO_VALUES:
        reach = 1 - tail ** (1 / count)
        low, high = min(low, mean - reach), max(high, mean + reach)
    return Interval(max(low, -1.0), mean, min(high, 1.0), count)


def _draw_bounds(values: Sequence[float], tail: float, draws: int) -> tuple[float, float]:
    means = _draw_means(tuple(values), draws)
    cut = max(int(tail * draws) - 1, 0)
    return means[cut], means[-1 - cut]


@lru_cache(maxsize=1)  # because the same values are often estimated with two tails, one after the other
def _draw_means(values: tuple[float, ...], draws: int) -> list[float]:
    count = len(values)
    return sorted(sum(select(values)) / count for select in _list_samples(count, draws))


@lru_cache(maxsize=4)
def _list_samples(count: int, draws: int) -> list[Callable[[Sequence[float]], tuple[float, ...]]]:
    """Return functions that each select a sample. They are shared by all measurements, which is ten times faster."""
    generator = random.Random(_SEED)
    return [itemgetter(*generator.choices(range(count), k=count)) for _ in range(draws)]


def estimate_rate_difference(
    count: float, total: int, other_count: float, other_total: int, *, tail: float
) -> Interval:
    """Return the difference of two independent rates with Newcombe's interval of score limits.

    Unlike the usual normal interval, it is not empty when an event was never observed. A count may be a fraction:
    an event in one of two rounds is half an event.
    """
    if not total or not other_total:
        return Interval(-1.0, 0.0, 1.0, min(total, other_total))
    rate, other_rate = count / total, other_count / other_total
    low, high = _score_limits(rate, total, tail)
    other_low, other_high = _score_limits(other_rate, other_total, tail)
    difference = rate - other_rate
    return Interval(
        difference - math.hypot(rate - low, other_high - other_rate),
        difference,
        difference + math.hypot(high - rate, other_rate - other_low),
        total,
    )


def _score_limits(rate: float, total: int, tail: float) -> tuple[float, float]:
    """Return Wilson's limits of one rate."""
    z = NormalDist().inv_cdf(1 - tail)
    centre = rate + z * z / (2 * total)
    reach = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max((centre - reach) / scale, 0.0), min((centre + reach) / scale, 1.0)
