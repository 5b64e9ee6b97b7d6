"""Summary of the loss curves of many accounts: the median, the band that most of them are in, and the outliers.

The same bytes are trained with the same hyperparameters, so the curves of all accounts should lie close together. An
account is an outlier if, at most of the later steps of its curve, it is farther from the band than the band is wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from orchestrator.core.jobs.loss import Loss
from orchestrator.core.structs import Struct

BAND_LIMITS: Final = (0.1, 0.9)  # quantiles
MIN_BAND_ACCOUNTS: Final = 5  # with fewer values at a step its quantiles mean nothing
MIN_JUDGED_POINTS: Final = 3  # of an account's curve
_MIN_RELATIVE_WIDTH: Final = 0.02  # of the median: bands of nearly equal curves must not make outliers of noise


class BandPoint(Struct, frozen=True, kw_only=True):
    """The losses of all accounts at one step."""

    step: int
    accounts: int  # number of accounts with a value
    low: float  # 10 % of the accounts are below
    median: float
    high: float  # 10 % of the accounts are above

    @property
    def width(self) -> float:
        """Distance that counts as one width of the band; never zero."""
        return max(self.high - self.low, _MIN_RELATIVE_WIDTH * abs(self.median), 1e-9)

    def measure_distance(self, loss: float) -> float:
        """Return how far a loss is outside the band, in widths of the band; negative below it, 0 inside."""
        return (max(loss - self.high, 0.0) + min(loss - self.low, 0.0)) / self.width


class Outlier(Struct, frozen=True, kw_only=True):
    """An account whose training loss differs from that of the others."""

    account: str
    distance: float  # from the band, in widths of the band; negative: below it


class LossSummary(Struct, frozen=True, kw_only=True):
    """The bands of both losses by step, and the outliers, the most distant first."""

    training: tuple[BandPoint, ...]
    validation: tuple[BandPoint, ...]
    outliers: tuple[Outlier, ...]


def summarise_curves(curves: Mapping[str, Sequence[Loss]]) -> LossSummary:
    """Summarise curves, given by account, that have their points at the same steps.

    Steps with fewer than MIN_BAND_ACCOUNTS values are left out: the last steps of a few long curves say nothing
    about the others.
    """
    training = _build_band((loss.step, loss.training) for curve in curves.values() for loss in curve)
    validation = _build_band((loss.step, loss.validation) for curve in curves.values() for loss in curve)
    by_step = {point.step: point for point in training}
    distances = {account: _measure_curve(curve, by_step) for account, curve in curves.items()}
    found = [
        Outlier(account=account, distance=distance)
        for account, distance in distances.items()
        if distance is not None and abs(distance) > 1
    ]
    return LossSummary(
        training=training,
        validation=validation,
        outliers=tuple(sorted(found, key=lambda each: (-abs(each.distance), each.account))),
    )


def _build_band(values: Iterable[tuple[int, float | None]]) -> tuple[BandPoint, ...]:
    by_step: dict[int, list[float]] = {}
    for step, value in values:
        if value is not None:
            by_step.setdefault(step, []).append(value)
    return tuple(
        _build_point(step, sorted(found))
        for step, found in sorted(by_step.items())
        if len(found) >= MIN_BAND_ACCOUNTS
    )


def _build_point(step: int, ordered: Sequence[float]) -> BandPoint:
    low, high = (_pick_quantile(ordered, fraction) for fraction in BAND_LIMITS)
    return BandPoint(step=step, accounts=len(ordered), low=low, median=median(ordered), high=high)


def _pick_quantile(ordered: Sequence[float], fraction: float) -> float:
    """Return the quantile of sorted values, interpolated between neighbours."""
    position = fraction * (len(ordered) - 1)
    index = min(int(position), len(ordered) - 2)
    below, above = next(pairwise(ordered[index : index + 2]))
    return below + (above - below) * (position - index)


def _measure_curve(curve: Sequence[Loss], band: Mapping[int, BandPoint]) -> float | None:
    """Return the median distance of the second half of a curve from the band; None if there are too few points.

    The first steps are left out: they depend on the order of the examples more than on anything else.
    """
    found = [
        band[loss.step].measure_distance(loss.training)
        for loss in curve
        if loss.training is not None and loss.step in band
    ]
    judged = found[len(found) // 2 :]
    return median(judged) if len(judged) >= MIN_JUDGED_POINTS else None
