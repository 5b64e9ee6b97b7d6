"""Polling: when a job that the provider has is looked at again.

Every look is a request, and every second between an end and the look that finds it is a model that comes later. The
other jobs of a run train on the same data with the same spec, so the ones that succeeded say when the next may end:

* before the soonest of them a look comes only every `longest` seconds, for what fails early;
* from the soonest to the latest as often as `SECONDS_PER_POLL` allows, counting what was saved before;
* after the latest every `SECONDS_PER_POLL` seconds, and sooner for a job that did not take long so far.

While too few have ended, the provider's own estimate takes their place, with a tenth before and behind it. Without
that too, a look comes when twice as much time has passed: sooner would cost a short job half of all its looks, before
anything is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.core.jobs.retry_policy import apply_jitter

SECONDS_PER_POLL: Final = (
    31.5  # seconds for each look, from submission to end: a third of the looks of one every 10 s
)
MIN_ENDED_JOBS: Final = 5  # jobs that must have ended before they say something about the others
JOBS_PER_OUTLIER: Final = 20  # one in so many may end sooner, and one later
WINDOW_MARGIN: Final = 0.02
UNKNOWN_LATEST_FACTOR: Final = 2.0  # the latest is this many times the soonest, as long as it is not known
ESTIMATE_MARGIN: Final = 0.1
ELAPSED_PER_DELAY: Final = 8  # a look that late would have cost little beside what the job took: an eighth of it


@dataclass(frozen=True, slots=True)
class EndWindow:
    """When a job may end, in seconds after it was submitted."""

    earliest: float
    latest: float


def end_window_from_durations(durations: Sequence[float], ended_count: int, open_count: int) -> EndWindow | None:
    """Where nearly all durations lie, by those of some that ended; None while they are too few.

    While more are open than have ended, those that ended are the quick ones, and say nothing of the latest.
    """
    if len(durations) < MIN_ENDED_JOBS:
        return None
    ordered, few = sorted(durations), len(durations) // JOBS_PER_OUTLIER
    soonest, latest = ordered[few] * (1 - WINDOW_MARGIN), ordered[-1 - few] * (1 + WINDOW_MARGIN)
    return EndWindow(soonest, latest if ended_count >= open_count else max(latest, soonest * UNKNOWN_LATEST_FACTOR))


def end_window_around(estimate: float) -> EndWindow:
    """What a provider's estimate of a job's duration means."""
    return EndWindow(estimate * (1 - ESTIMATE_MARGIN), estimate * (1 + ESTIMATE_MARGIN))


def next_poll_delay(
    elapsed: float, window: EndWindow | None, *, min_delay: float, max_delay: float, jitter: float
) -> float:
    """Seconds until the next look at a job that was submitted `passed` seconds ago. `jitter` is 0 to 1."""
    if window is None:
        return apply_jitter(min(max(elapsed, min_delay), max_delay), jitter)
    if elapsed < window.earliest:
        return max(min_delay, min(apply_jitter(max_delay, jitter), window.earliest - elapsed))
    most = max(min_delay, min(SECONDS_PER_POLL, max_delay, elapsed / ELAPSED_PER_DELAY))
    if elapsed >= window.latest:
        return apply_jitter(most, jitter)
    saved = (window.earliest + window.latest) / 2 / SECONDS_PER_POLL - window.earliest / max_delay
    often = (window.latest - window.earliest) / max(saved, 1.0)
    return apply_jitter(min(max(often, min_delay), most), jitter)
