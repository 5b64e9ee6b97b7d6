"""Computes the timelines of jobs: when each job is validated, starts, pauses and ends."""

# Theory of operation
#
# No background task advances the jobs. A timeline is computed from the records alone, and the status of a job at any
# time is read from its timeline. So a restart, a frozen process or a test that sets the clock changes nothing.
#
# A job is validated, waits in the queue, takes one of its organisation's slots, trains, and ends. Slots are assigned
# in the order in which jobs become ready: `free` is a heap with the time at which each slot is free again. A paused
# job keeps its slot; a job in review has released it.
#
# The future part of a timeline is a forecast. A cancel, a pause or a new job leads to a new timeline, which agrees
# with the old one about the past, because a change only affects what happens after it.

from __future__ import annotations

import heapq
from collections.abc import Sequence
from math import inf

from msgspec import Struct

from orchestrator.sandbox.records import SandboxJob

NEVER = inf


class Timeline(Struct, frozen=True):
    """The times at which a job changes its status, in epoch seconds; NEVER for a status it does not reach."""

    created: float
    validated: float
    started: float
    """Start of training: the job has a slot."""
    ended: float
    outcome: str
    """Status after `ended`: succeeded, failed or cancelled."""
    training_seconds: float
    """Duration of a complete training, without pauses."""
    pauses: tuple[tuple[float, float], ...] = ()
    """(start, end) of each pause."""
    review_started: float = NEVER
    """Start of the unpublished status `reviewing` (fault `unknown_status`)."""
    model_available: float = NEVER
    """When the model id appears and the model can be called."""

    def get_status(self, now: float) -> str:
        """Return the provider's status at the time `now`."""
        if now >= self.ended:
            return self.outcome
        if any(since <= now < until for since, until in self.pauses):
            return "paused"
        steps = ((self.review_started, "reviewing"), (self.started, "running"), (self.validated, "queued"))
        return next((name for since, name in steps if now >= since), "validating_files")

    def find_time_of_share(self, share: float) -> float:
        """Return the time at which this share of the training (0 to 1) is done; NEVER if the job ends before."""
        at = _end_of_work(self.started, self.training_seconds * share, self.pauses)
        return at if at <= self.ended else NEVER


def build_timelines(jobs: Sequence[SandboxJob], slots: int) -> dict[str, Timeline]:
    """Build the timelines of all jobs of one organisation with this number of slots."""
    free = [-inf] * slots
    timelines = {}
    for job in sorted(jobs, key=_ready_at):
        timeline = _build_timeline(job, max(_ready_at(job), free[0]))
        timelines[job.id] = timeline
        if timeline.started < NEVER:
            heapq.heapreplace(free, min(timeline.ended, timeline.review_started))
    return timelines


def _ready_at(job: SandboxJob) -> float:
    return job.validated_at + job.queue_seconds


def _build_timeline(job: SandboxJob, start: float) -> Timeline:
    """Build the timeline of a job that gets a slot at the time `start`."""
    validated = job.validated_at
    cancelled = NEVER if job.cancelled_at is None else job.cancelled_at
    if job.problem is not None and validated <= cancelled:
        return Timeline(job.created_at, validated, NEVER, validated, "failed", job.training_seconds)
    if cancelled <= start:
        return Timeline(job.created_at, validated, NEVER, cancelled, "cancelled", job.training_seconds)
    pauses = tuple((float(since or 0), NEVER if until is None else until) for since, until in job.pauses)
    return _build_training_timeline(job, start, cancelled, pauses)


def _build_training_timeline(
    job: SandboxJob, start: float, cancelled: float, pauses: tuple[tuple[float, float], ...]
) -> Timeline:
    failure = job.fate.get("fail_job")
    seconds = job.training_seconds if failure is None else failure["seconds"] or job.training_seconds / 2
    trained = _end_of_work(start, seconds, pauses)
    review = job.fate.get("unknown_status", {}).get("seconds", 0.0) if failure is None else 0.0
    ended, outcome = trained + review, "succeeded" if failure is None else "failed"
    if cancelled < ended:
        ended, outcome = cancelled, "cancelled"
    model_delay = job.fate.get("no_model_id", {}).get("seconds", 0.0)
    return Timeline(
        created=job.created_at,
        validated=job.validated_at,
        started=start,
        ended=ended,
        outcome=outcome,
        training_seconds=job.training_seconds,
        pauses=pauses,
        review_started=trained if review else NEVER,
        model_available=ended + model_delay if outcome == "succeeded" else NEVER,
    )


def _end_of_work(start: float, seconds: float, pauses: Sequence[tuple[float, float]]) -> float:
    """Return when work of `seconds` that starts at `start` is done, with the pauses added."""
    end = start + seconds
    for since, until in pauses:
        if since >= end:
            break
        end += until - since
    return end
