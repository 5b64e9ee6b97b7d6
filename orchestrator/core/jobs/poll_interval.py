"""Adaptive polling intervals: when a remote job is polled next.

Each poll is a request, and each second between a job's end and the poll that detects it delays a model. The jobs of a
run train on the same data with the same spec, so the durations of finished jobs predict when the others will end:

* before the earliest expected end a job is polled every `max_delay` seconds, to detect failures;
* between the earliest and the latest expected end as often as SECONDS_PER_POLL allows on average, including the polls
  that were saved before;
* after the latest expected end every SECONDS_PER_POLL seconds, and more often if the job has not taken long so far.

While too few jobs have ended, the provider's own estimate is used, with a margin of a tenth. Without an estimate, the
delay equals the time since the submission: the next poll happens when the job's age has doubled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator.core.jobs.retry_policy import apply_jitter
from orchestrator.core.structs import Struct

SECONDS_PER_POLL: Final = 31.5  # average over a job's life: a third of the polls of a fixed interval of 10 s
MIN_ENDED_JOBS: Final = 5  # jobs that must have ended before their durations are used
JOBS_PER_OUTLIER: Final = 20  # of so many jobs, one at each end of the range is ignored
WINDOW_MARGIN: Final = 0.02  # added on both sides of the range of durations
UNKNOWN_LATEST_FACTOR: Final = 2.0  # the latest end is this multiple of the earliest, until it is known
ESTIMATE_MARGIN: Final = 0.1  # on both sides of the provider's estimate
ELAPSED_PER_DELAY: Final = 8  # an end is detected after at most an eighth of the job's duration


class EndWindow(Struct, frozen=True):
    """When a job is expected to end, in seconds after its submission."""

    earliest: float
    latest: float


def end_window_from_durations(durations: Sequence[float], ended_count: int, open_count: int) -> EndWindow | None:
    """Return the range of nearly all durations (seconds) of finished jobs; None while they are too few.

    While more jobs are open than have ended, the finished ones are the fast ones and do not predict the latest end.
    """
    if len(durations) < MIN_ENDED_JOBS:
        return None
    ordered, outliers = sorted(durations), len(durations) // JOBS_PER_OUTLIER
    earliest, latest = ordered[outliers] * (1 - WINDOW_MARGIN), ordered[-1 - outliers] * (1 + WINDOW_MARGIN)
    if ended_count < open_count:
        latest = max(latest, earliest * UNKNOWN_LATEST_FACTOR)
    return EndWindow(earliest, latest)


def end_window_around(estimate: float) -> EndWindow:
    """Return the window around a provider's estimate of a job's duration (seconds)."""
    return EndWindow(estimate * (1 - ESTIMATE_MARGIN), estimate * (1 + ESTIMATE_MARGIN))


def next_poll_delay(
    elapsed: float, window: EndWindow | None, *, min_delay: float, max_delay: float, jitter: float
) -> float:
    """Return the seconds until the next poll of a job submitted `elapsed` seconds ago. `jitter` is random, 0 to 1."""
    if window is None:
        return apply_jitter(min(max(elapsed, min_delay), max_delay), jitter)
    if elapsed < window.earliest:
        return max(min_delay, min(apply_jitter(max_delay, jitter), window.earliest - elapsed))
    slowest = max(min_delay, min(SECONDS_PER_POLL, max_delay, elapsed / ELAPSED_PER_DELAY))
    if elapsed >= window.latest:
        return apply_jitter(slowest, jitter)
    # The polls that the average allows until the middle of the window, less those made before it.
    available_polls = (window.earliest + window.latest) / 2 / SECONDS_PER_POLL - window.earliest / max_delay
    interval = (window.latest - window.earliest) / max(available_polls, 1.0)
    return apply_jitter(min(max(interval, min_delay), slowest), jitter)
