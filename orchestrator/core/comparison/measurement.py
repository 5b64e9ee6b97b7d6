"""One measured difference between an account's model and the others, and what it permits to conclude.

The absence of evidence is no evidence: two models are the same in one respect only if the whole interval is inside
the margin, and different only if the whole interval is outside. Otherwise there are not enough probes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from orchestrator.core.comparison.interval import Interval
from orchestrator.core.structs import Struct

LENGTH_MARGIN: Final = math.log(1.25)
_SHOWN_PROBES: Final = 3
TAIL: Final = 0.05  # of each side of an interval: two one-sided tests at 5 %


class MeasurementKind(StrEnum):
    """What is compared. These values are stored and are part of the API."""

    QUALITY = "quality"
    LIKELIHOOD = "likelihood"  # mean log-probability of the reference answers per token
    REFUSED = "refused"
    FILTERED = "filtered"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    INVALID_FORMAT = "invalid_format"
    WRONG_LANGUAGE = "wrong_language"
    LENGTH = "length"
    DISTANCE = "distance"  # mean distance to the others, beyond the distance of the others among themselves
    CHANGED = "changed"  # share of changed answers, beyond that of the others among themselves
    PAIR = "pair"  # of two accounts: share of answers that differ, beyond serving noise


RATE_KINDS: Final = (
    MeasurementKind.REFUSED,
    MeasurementKind.FILTERED,
    MeasurementKind.EMPTY,
    MeasurementKind.TRUNCATED,
    MeasurementKind.INVALID_FORMAT,
    MeasurementKind.WRONG_LANGUAGE,
)


class ComparisonMargins(Struct, frozen=True, kw_only=True):
    """The largest differences that count as alike."""

    quality: float = 0.05  # at least; a quarter of what training gained over the base model, if that is more
    likelihood: float = 0.05  # nats per token of the reference answers
    rate: float = 0.10
    standout: float = 0.03  # distance beyond which an account stands out
    distance: float = 0.10  # excess distance that an account that is alike certainly does not have
    changed: float = 0.15  # excess share of changed answers that an account that is alike certainly does not have
    pair: float = 0.40  # of two accounts: share of answers that differ beyond serving noise


class Conclusion(StrEnum):
    """What one measurement permits to conclude."""

    SAME = "same"
    DIFFERENT = "different"
    UNSURE = "unsure"


class Measurement(Struct, frozen=True, kw_only=True):
    """One difference with its interval, its margin and the probes that show it best."""

    kind: MeasurementKind
    interval: Interval
    margin: float
    conclusion: Conclusion
    own: float | None = None  # value of the account, where it can be stated alone
    others: float | None = None
    probe_ids: tuple[str, ...] = ()

    @property
    def needed_probes(self) -> int | None:
        """The number of probes that would decide, or None if it is decided or no usable number would."""
        if self.conclusion is not Conclusion.UNSURE:
            return None
        return self.interval.count_needed_probes(self.margin)


def conclude(interval: Interval, margin: float) -> Conclusion:
    """Return what an interval of a difference permits to conclude with an equivalence margin."""
    if interval.is_inside(margin):
        return Conclusion.SAME
    return Conclusion.DIFFERENT if interval.is_outside(margin) else Conclusion.UNSURE


def list_top_probes(values: Mapping[str, float], sign: float) -> tuple[str, ...]:
    """List the at most three probes with the largest values in the direction of `sign`; ties in the order of ids."""
    showing = sorted((-value * sign, probe_id) for probe_id, value in values.items() if value * sign > 0)
    return tuple(probe_id for _, probe_id in showing[:_SHOWN_PROBES])
