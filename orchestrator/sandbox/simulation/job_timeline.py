"""The course of jobs through time, worked out from what is recorded and nothing else.

A job is checked, waits, takes one of its organisation's slots in the order in which jobs became ready, trains, ends.
Everything in the future of a timeline is a forecast: a cancel, a pause or a new job makes a new one, which agrees
with the old one about the past. A paused job keeps its slot.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from orchestrator.sandbox.records import SandboxJob

NEVER = inf


@dataclass(frozen=True, slots=True)
class Timeline:
    """When a job reaches what, in epoch seconds; NEVER for what it does not reach."""

    created: float
    validated: float
    started: float
    ended: float
    outcome: str
    """succeeded, failed or cancelled, once `ended` is reached."""
    training_seconds: float
    """Seconds of training that the whole of it takes."""
    pauses: tuple[tuple[float, float], ...] = ()
    review_started: float = NEVER
    """Trained, but still under a name that nobody published."""
    model_available: float = NEVER

    def get_status(self, now: float) -> str:
        """The status as the provider says it."""
        if now >= self.ended:
            return self.outcome
        if any(since <= now < until for since, until in self.pauses):
            return "paused"
        steps = ((self.review_started, "reviewing"), (self.started, "running"), (self.validated, "queued"))
        return next((name for since, name in steps if now >= since), "validating_files")

    def find_time_of_share(self, share: float) -> float:
        """When that share of the training is done; NEVER if it ends before."""
        at = _end_of_work(self.started, self.training_seconds * share, self.pauses)
        return at if at <= self.ended else NEVER


def build_timelines(jobs: Sequence[SandboxJob], slots: int) -> dict[str, Timeline]:
    """The timelines of all jobs of one organisation."""
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
    """The course of a job that gets a slot at `start`."""
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
    failing = job.fate.get("fail_job")
    seconds = job.training_seconds if failing is None else failing["seconds"] or job.training_seconds / 2
    trained = _end_of_work(start, seconds, pauses)
    review = job.fate.get("unknown_status", {}).get("seconds", 0.0) if failing is None else 0.0
    ended, outcome = trained + review, "succeeded" if failing is None else "failed"
    if cancelled < ended:
        ended, outcome = cancelled, "cancelled"
    later = job.fate.get("no_model_id", {}).get("seconds", 0.0)
    return Timeline(
        created=job.created_at,
        validated=job.validated_at,
        started=start,
        ended=ended,
        outcome=outcome,
        training_seconds=job.training_seconds,
        pauses=pauses,
        review_started=trained if review else NEVER,
        model_available=ended + later if outcome == "succeeded" else NEVER,
    )


def _end_of_work(start: float, seconds: float, pauses: Sequence[tuple[float, float]]) -> float:
    """When `seconds` of work are done that begin at `start` and rest in the pauses."""
    end = start + seconds
    for since, until in pauses:
        if since >= end:
            break
        end += until - since
    return end
