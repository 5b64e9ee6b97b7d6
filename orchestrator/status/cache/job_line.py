"""The encoded job: a line of the `/status` document, and how its values that follow the clock are replaced."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from hashlib import blake2b

import msgspec

from orchestrator.core.account_state import AccountState
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.next_action import list_job_holds
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct, replace
from orchestrator.status.views import JobView, estimate_progress, view_to_dict

# A line of a running job shows other values every few seconds although nobody changed the job. Building it costs
# a hundred microseconds and several queries, replacing a number a few. The line is therefore kept in pieces, cut at
# its numbers, and its versions share the other pieces: 60,000 running jobs would be 60 MB otherwise, each time.
#
# The keys are safe to search for: the text before `progress` and after `days_left` has no object whose keys a
# provider chooses, and a quotation mark within a string is escaped.
_PROGRESS_KEY = b'"progress":'
_DAYS_LEFT_KEY = b'"days_left":'
_DIGEST_BYTES = 16


class ClockValues(Struct, frozen=True):
    """Values of a line that change as time passes, and what they are computed from."""

    progress: float | None
    days_left: int | None
    running_since: float
    estimated_finish: float | None
    """None if the progress is not estimated."""
    retires_on: date | None

    def at(self, now: float, today: date) -> ClockValues:
        """Return the values at another time; this object if they are the same."""
        progress, days = self.progress, self.days_left
        if self.estimated_finish is not None:
            progress = estimate_progress(self.running_since, self.estimated_finish, now)
        if self.retires_on is not None:
            days = (self.retires_on - today).days
        if progress == self.progress and days == self.days_left:
            return self
        return replace(self, progress=progress, days_left=days)


class JobLine(Struct, frozen=True):
    """An encoded job."""

    pieces: tuple[bytes, ...]
    """The job as JSON: one, or five if there are clock values: the second is the progress, the fourth days left."""
    digest: bytes
    """Hash of the text."""
    state: str
    """The state it counts for in `counts`: `held`, or the job's state."""
    settled: bool
    """Whether the job changes only by an operator's action."""
    built_at: float
    """Wall clock, epoch seconds."""
    hold_ends: tuple[float, ...] = ()
    """When its holds end."""
    clock_values: ClockValues | None = None
    """None if the line has no such value."""

    @property
    def text(self) -> bytes:
        """The job as JSON."""
        return b"".join(self.pieces)

    @property
    def length(self) -> int:
        """Number of bytes of the text."""
        return sum(map(len, self.pieces))

    def is_outdated(self, now: float) -> bool:
        """Whether a hold has ended since the line was built, or began to count again because the clock was set."""
        return any((end > self.built_at) != (end > now) for end in self.hold_ends)

    def at(self, now: float, today: date) -> JobLine:
        """Return the line with the values of that time; this object if they are the same."""
        before = self.clock_values
        if before is None or (values := before.at(now, today)) is before:
            return self
        head, _, middle, _, tail = self.pieces
        pieces = (head, _encode_number(values.progress), middle, _encode_number(values.days_left), tail)
        return replace(self, pieces=pieces, digest=_hash(b"".join(pieces)), clock_values=values)


def build_job_line(view: JobView, job: Job, run: Run, account_state: AccountState, now: float) -> JobLine:
    """Encode the view of a job at the time `now`."""
    text = msgspec.json.encode(view_to_dict(view))
    is_estimated = job.state is JobState.RUNNING and job.progress is None and view.progress is not None
    finish = job.estimated_finish if is_estimated else None
    values = None
    if finish is not None or job.retires_on is not None:
        values = ClockValues(view.progress, view.days_left, job.state_since, finish, job.retires_on)
    return JobLine(
        pieces=_copy(text) if values is None else _cut_at_numbers(text, view),
        digest=_hash(text),
        state="held" if view.held else view.state,
        settled=view.settled,
        built_at=now,
        hold_ends=tuple(hold.until for hold in list_job_holds(job, run, account_state) if hold.until is not None),
        clock_values=values,
    )


def _cut_at_numbers(text: bytes, view: JobView) -> tuple[bytes, ...]:
    progress = text.index(_PROGRESS_KEY) + len(_PROGRESS_KEY)
    days = text.rindex(_DAYS_LEFT_KEY) + len(_DAYS_LEFT_KEY)
    middle, tail = text.index(b",", progress), text.index(b",", days)
    numbers = _encode_number(view.progress), _encode_number(view.days_left)
    return (text[:progress], numbers[0], text[middle:days], numbers[1], text[tail:])


def _copy(text: bytes) -> tuple[bytes, ...]:
    # msgspec leaves its bytes a quarter larger than their content: 25 MB for 100,000 jobs.
    return (bytes(memoryview(text)),)


@lru_cache(maxsize=10_000, typed=True)  # the same few bytes for all lines; 1 and 1.0 are not the same text
def _encode_number(value: float | None) -> bytes:
    return msgspec.json.encode(value)


def _hash(text: bytes) -> bytes:
    return blake2b(text, digest_size=_DIGEST_BYTES).digest()
