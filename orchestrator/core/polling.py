"""Polling: when a job that the provider has is looked at again.

Every look is a request, and every second between an end and the look that finds it is a model that comes later. The
other jobs of a run train on the same data with the same spec, so the ones that succeeded say when the next may end:

* before the soonest of them a look comes only every `longest` seconds, for what fails early;
* from the soonest to the latest as often as `BUDGET` allows, counting what was saved before;
* after the latest every `BUDGET` seconds, and sooner for a job that did not take long so far.

While too few have ended, the provider's own estimate takes their place, with a tenth before and behind it. Without
that too, a look comes when twice as much time has passed: sooner would cost a short job half of all its looks, before
anything is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.core.retry import spread

BUDGET: Final = 31.5  # seconds for each look, from submission to end: a third of the looks of one every 10 s
FEW: Final = 5  # jobs that must have ended before they say something about the others
RARE: Final = 20  # one in so many may end sooner, and one later
MARGIN: Final = 0.02
GUESS: Final = 2.0  # the latest is this many times the soonest, as long as it is not known
ESTIMATE_MARGIN: Final = 0.1
LATE: Final = 8  # a look that late would have cost little beside what the job took: an eighth of it


@dataclass(frozen=True, slots=True)
class Span:
    """When a job may end, in seconds after it was submitted."""

    soonest: float
    latest: float


def span_of(lasted: Sequence[float], ended: int, open_: int) -> Span | None:
    """Where nearly all durations lie, by those of some that ended; None while they are too few.

    While more are open than have ended, those that ended are the quick ones, and say nothing of the latest.
    """
    if len(lasted) < FEW:
        return None
    ordered, few = sorted(lasted), len(lasted) // RARE
    soonest, latest = ordered[few] * (1 - MARGIN), ordered[-1 - few] * (1 + MARGIN)
    return Span(soonest, latest if ended >= open_ else max(latest, soonest * GUESS))


def span_around(estimate: float) -> Span:
    """What a provider's estimate of a job's duration means."""
    return Span(estimate * (1 - ESTIMATE_MARGIN), estimate * (1 + ESTIMATE_MARGIN))


def next_look(passed: float, span: Span | None, *, shortest: float, longest: float, jitter: float) -> float:
    """Seconds until the next look at a job that was submitted `passed` seconds ago. `jitter` is 0 to 1."""
    if span is None:
        return spread(min(max(passed, shortest), longest), jitter)
    if passed < span.soonest:
        return max(shortest, min(spread(longest, jitter), span.soonest - passed))
    most = max(shortest, min(BUDGET, longest, passed / LATE))
    if passed >= span.latest:
        return spread(most, jitter)
    saved = (span.soonest + span.latest) / 2 / BUDGET - span.soonest / longest
    often = (span.latest - span.soonest) / max(saved, 1.0)
    return spread(min(max(often, shortest), most), jitter)
