"""The range of times in which a run may end, from the durations of its finished jobs."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.core.jobs.poll_interval import EndWindow, end_window_around
from orchestrator.core.structs import Struct


class EndRange(Struct, frozen=True):
    """The earliest and the latest expected end, in epoch seconds."""

    earliest: float
    latest: float


class OpenJobs(Struct, frozen=True, kw_only=True):
    """Open jobs of one provider in one state."""

    window: EndWindow | None  # of the durations of finished jobs; None while they are too few
    last_submitted: float | None  # latest submission; None: nothing is submitted yet
    estimated_finish: float | None  # latest end by the provider's own estimate


def estimate_end_range(open_jobs: Iterable[OpenJobs], now: float) -> EndRange | None:
    """Return when the last of the open jobs may end; None if there are none, or not enough data for one of them.

    Jobs that are not submitted yet count from now, so a run that waits for an operator ends later than estimated.
    """
    ranges = [_estimate_range(each, now) for each in open_jobs]
    known = [each for each in ranges if each is not None]
    if not known or len(known) < len(ranges):
        return None
    return EndRange(max(now, *(each.earliest for each in known)), max(now, *(each.latest for each in known)))


def _estimate_range(each: OpenJobs, now: float) -> EndRange | None:
    if each.window is not None:
        base = now if each.last_submitted is None else each.last_submitted
        return EndRange(base + each.window.earliest, base + each.window.latest)
    if each.estimated_finish is None:
        return None
    rest = end_window_around(max(each.estimated_finish - now, 0.0))
    return EndRange(now + rest.earliest, now + rest.latest)
