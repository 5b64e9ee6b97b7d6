"""Training losses: the points of a job's loss curve, and the limit of their number."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from math import isfinite
from typing import Final

from orchestrator.core.structs import Struct

MAX_CURVE_POINTS: Final = 500  # stored for a job: more than a screen can show
MAX_STEP: Final = 2**31 - 1  # maximum of the database column


class Loss(Struct, frozen=True):
    """The losses at a training step. None: the provider does not report it for this step."""

    step: int
    training: float | None = None
    validation: float | None = None


def parse_loss(step: object, training: object, validation: object) -> Loss | None:
    """Parse the values that a provider reports; None if the step, or both losses, are not valid numbers."""
    number, losses = _finite_or_none(step), (_finite_or_none(training), _finite_or_none(validation))
    if number is None or not number.is_integer() or not 1 <= number <= MAX_STEP or losses == (None, None):
        return None
    return Loss(int(number), *losses)


def merge_curves(*curves: Iterable[Loss]) -> list[Loss]:
    """Merge curves into one, ordered by step. Providers may report the two losses of a step separately."""
    steps: dict[int, Loss] = {}
    for loss in chain.from_iterable(curves):
        known = steps.get(loss.step, loss)
        steps[loss.step] = Loss(
            loss.step, _first_known(loss.training, known.training), _first_known(loss.validation, known.validation)
        )
    return [steps[step] for step in sorted(steps)]


def downsample_curve(curve: list[Loss]) -> list[Loss]:
    """Reduce a curve to at most MAX_CURVE_POINTS points, evenly over its steps. The first and last point are kept."""
    width, kept = 1, curve
    while len(kept) > MAX_CURVE_POINTS:
        width *= 2
        kept = [*_pick_one_per_bucket(kept[:-1], width), kept[-1]]
    return kept


def _pick_one_per_bucket(curve: list[Loss], width: int) -> list[Loss]:
    """Pick one point for every `width` steps: one with a validation loss, because those are rarer, or the first."""
    chosen: dict[int, Loss] = {}
    for loss in curve:
        before = chosen.setdefault(loss.step // width, loss)
        if before.validation is None and loss.validation is not None and before is not curve[0]:
            chosen[loss.step // width] = loss
    return list(chosen.values())


def _first_known(value: float | None, other: float | None) -> float | None:
    return other if value is None else value


def _finite_or_none(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if isfinite(number) else None
