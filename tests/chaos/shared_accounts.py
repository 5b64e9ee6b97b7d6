"""Measures what several runs do in the accounts that they share: jobs at once, money, and the order of the runs.

The jobs are those of the sandbox. Only the order is read from the service's history: whether a job was ready when a
job of another run got the slot is known to the service alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ENDED = {"succeeded", "failed", "cancelled"}
SLOT_STATES = {"submitting", "queued", "running", "cancelling"}
SAMPLE_SECONDS = 0.3
CLEAR_SECONDS = 1.0  # two events that are closer together may have been committed in the other order


class JobSampler:
    """Reads the sandbox's jobs again and again, and keeps the largest number that one account had at once."""

    def __init__(self, read_jobs: Callable[[], Mapping[str, Sequence[Any]]]) -> None:
        self._read_jobs = read_jobs
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.most_at_once = 0
        self.samples = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)

    def _sample(self) -> None:
        while not self._stopping.wait(SAMPLE_SECONDS):
            try:
                jobs = self._read_jobs()
            except OSError:  # the sandbox is busy
                continue
            self.samples += 1
            self.most_at_once = max(self.most_at_once, *map(count_open, jobs.values()), 0)


def count_open(jobs: Sequence[Any]) -> int:
    """Count the jobs of one account that have not ended."""
    return sum(job["status"] not in ENDED for job in jobs)


def count_most_at_once(jobs: Sequence[Any]) -> int:
    """Count the jobs of one account that surely overlapped, by the whole seconds of their beginning and end."""
    return max(
        (
            sum(job["created_at"] <= at < (job["finished_at"] or at + 1) for job in jobs)
            for at in [job["created_at"] for job in jobs]
        ),
        default=0,
    )


@dataclass(slots=True)
class _Job:
    """A job as the events that were read so far describe it."""

    rank: int  # of its run; a lower one is first. Larger than every rank: its run is not current any more
    state: str = "planned"
    since: float = 0.0
    was_submitted: bool = False
    is_held: bool = False


def list_order_violations(events: Sequence[Any], ranks: Mapping[str, int], slots: int) -> list[str]:
    """Return a line for each job of an account that took a slot which belonged to a ready job of a better run.

    `events` are those of one account, oldest first; `ranks` has the ranks of the current runs by id.
    """
    jobs: dict[str, _Job] = {}
    violations = []
    for event in events:
        if (name := event["job_id"]) is None:
            continue
        job = jobs.setdefault(name, _Job(ranks.get(event["run_id"], len(ranks))))
        if event["note"] == "submit started" and not job.was_submitted:
            used = sum(other.state in SLOT_STATES for other in jobs.values())
            ahead = [other for other in jobs.values() if _is_ahead(other, job, event["seconds"])]
            if job.rank < len(ranks) and used + len(ahead) >= slots:
                violations.append(f"job {name} of rank {job.rank}: {used} slots used, {len(ahead)} ready jobs ahead")
            job.was_submitted = True
        job.is_held = event["note"] == "held" or (job.is_held and event["note"] != "released")
        if event["state_after"] and event["state_after"] != job.state:
            job.state, job.since = event["state_after"], event["seconds"]
    return violations


def _is_ahead(other: _Job, job: _Job, now: float) -> bool:
    """Return whether the other job was first: it had been ready for a while, and nothing made it wait."""
    is_free = other.state == "ready" and not other.was_submitted and not other.is_held
    return is_free and other.rank < job.rank and now - other.since > CLEAR_SECONDS
