"""Timeline of a job: which phase it was in, and for how long, computed from its stored state changes.

A phase is a state of the job, named by what the time was spent on. A job on hold keeps its state. Where the next step
is the service's own, such as the upload, nothing happens during a hold: that time is the phase ON_HOLD. Where it is
the provider's, such as the training, the provider continues: the hold is only a separate span. The history of old
runs is pruned: what is no longer stored becomes a span of the phase NOT_RECORDED.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from statistics import median
from typing import Final

from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.structs import Struct


class Phase(StrEnum):
    """What the time of a job is spent on. The values are those of the API."""

    BEFORE_UPLOAD = "before_upload"
    ON_HOLD = "on_hold"
    UPLOAD = "upload"
    PROCESSING = "processing"
    SLOT = "waiting_for_slot"
    SUBMIT = "submit"
    QUEUED = "queued"
    TRAINING = "training"
    CANCEL = "cancel"
    STOPPED = "stopped"
    NOT_RECORDED = "not_recorded"


PHASE_DESCRIPTIONS: Final[dict[Phase, str]] = {
    Phase.BEFORE_UPLOAD: "Nothing is sent yet: moderation, approval, verification of the key, or a free connection.",
    Phase.ON_HOLD: "The account or its job is on hold, and the next step is one of the service.",
    Phase.UPLOAD: "The file is being uploaded.",
    Phase.PROCESSING: "The provider checks the file.",
    Phase.SLOT: "The file is ready; the job waits for a slot or for `orchestrator start`.",
    Phase.SUBMIT: "The job is being created, including rate limits of the provider.",
    Phase.QUEUED: "The provider has the job and has not started it.",
    Phase.TRAINING: "The provider is training.",
    Phase.CANCEL: "A cancel is requested and not confirmed yet.",
    Phase.STOPPED: "The job had failed and was retried later.",
    Phase.NOT_RECORDED: "The history of this time is pruned.",
}

_PHASES: Final[dict[JobState, Phase]] = {
    JobState.PLANNED: Phase.BEFORE_UPLOAD,
    JobState.UPLOADING: Phase.UPLOAD,
    JobState.PROCESSING: Phase.PROCESSING,
    JobState.READY: Phase.SLOT,
    JobState.SUBMITTING: Phase.SUBMIT,
    JobState.QUEUED: Phase.QUEUED,
    JobState.RUNNING: Phase.TRAINING,
    JobState.CANCELLING: Phase.CANCEL,
    JobState.FAILED: Phase.STOPPED,
    JobState.CANCELLED: Phase.STOPPED,
    JobState.SUCCEEDED: Phase.STOPPED,
}
_PAUSED_BY_HOLD: Final = frozenset({Phase.BEFORE_UPLOAD, Phase.UPLOAD, Phase.SLOT, Phase.SUBMIT})
HELD_NOTE: Final = "held"
RELEASED_NOTE: Final = "released"


class StateChange(Struct, frozen=True, kw_only=True):
    """An event of the history of a job, or a hold of its account. Times are epoch seconds."""

    at: float
    note: str
    before: str | None  # state before the event; None: the event is about the account, or it created the job
    after: str | None


class PhaseSpan(Struct, frozen=True):
    """A time that a job spent in one phase."""

    phase: Phase
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Length of the span."""
        return self.end - self.start


class HoldSpan(Struct, frozen=True):
    """A time for which a job was on hold."""

    start: float
    end: float


class JobTimeline(Struct, frozen=True, kw_only=True):
    """The phases of one job in the order of time, without gaps, and its holds."""

    spans: tuple[PhaseSpan, ...]
    holds: tuple[HoldSpan, ...]

    @property
    def start(self) -> float:
        """Start of the first span, in epoch seconds."""
        return self.spans[0].start

    @property
    def end(self) -> float:
        """End of the last span, in epoch seconds; of an open job the present."""
        return self.spans[-1].end

    @property
    def seconds(self) -> float:
        """Time from the plan to the end."""
        return self.end - self.start

    @property
    def work_start(self) -> float:
        """Start of the first phase in which something is sent; the end while there is none."""
        idle = {Phase.BEFORE_UPLOAD, Phase.ON_HOLD}
        return next((span.start for span in self.spans if span.phase not in idle), self.end)

    def sum_seconds(self, phase: Phase) -> float:
        """Return the time spent in the phase, in seconds."""
        return sum(span.seconds for span in self.spans if span.phase is phase)


class PhaseTotal(Struct, frozen=True, kw_only=True):
    """The time that a set of jobs spent in one phase. Times are in seconds."""

    phase: Phase
    jobs: int  # that spent time in it
    total: float
    share: float  # of the time of all phases, 0 to 1
    median: float  # of the jobs that spent time in it
    longest: float
    longest_account: str


def build_job_timeline(state: JobState, created_at: float, changes: Iterable[StateChange], now: float) -> JobTimeline:
    """Build the timeline of a job that was created at `created_at` and is in `state` at the time `now`.

    `changes` are in the order in which they were stored. Clocks of replicas differ, so a time before the previous one
    counts as the previous one.
    """
    ordered = list(changes)
    moves = [each for each in ordered if each.after is not None and each.before != each.after]
    spans = _build_spans(state, created_at, moves, now)
    holds = _build_holds(ordered, spans[-1].end)
    split = tuple(part for span in spans for part in _split_by_holds(span, holds))
    return JobTimeline(spans=split, holds=holds)


def _build_spans(
    state: JobState, created_at: float, moves: Sequence[StateChange], now: float
) -> tuple[PhaseSpan, ...]:
    first = moves[0] if moves else None
    is_complete = first is None or first.before in {None, JobState.PLANNED}
    phase = Phase.BEFORE_UPLOAD if is_complete else Phase.NOT_RECORDED
    if first is None and state is not JobState.PLANNED:
        phase = Phase.NOT_RECORDED
    start, reached, spans = created_at, JobState.PLANNED, []
    for move in moves:
        reached = JobState(move.after or JobState.PLANNED)
        at = max(start, move.at)
        spans.append(PhaseSpan(phase, start, at))
        phase, start = _PHASES[reached], at
    if reached not in TERMINAL_STATES or state not in TERMINAL_STATES:
        spans.append(PhaseSpan(phase, start, max(start, now)))
    kept = tuple(span for span in spans if span.seconds > 0)
    return kept or (PhaseSpan(phase, created_at, created_at),)


def _build_holds(changes: Sequence[StateChange], end: float) -> tuple[HoldSpan, ...]:
    """Pair each hold with the next release or change of state; repeated holds extend the first one."""
    holds: list[HoldSpan] = []
    held_at: float | None = None
    for change in changes:
        if change.note == HELD_NOTE:
            held_at = change.at if held_at is None else held_at
        elif held_at is not None and (change.note == RELEASED_NOTE or change.before != change.after):
            holds.append(HoldSpan(held_at, max(held_at, min(change.at, end))))
            held_at = None
    if held_at is not None and held_at < end:
        holds.append(HoldSpan(held_at, end))
    return tuple(holds)


def _split_by_holds(span: PhaseSpan, holds: Iterable[HoldSpan]) -> Iterable[PhaseSpan]:
    """Cut the time on hold out of a span in which only the service could have done something."""
    if span.phase not in _PAUSED_BY_HOLD:
        return [span]
    parts, at = [], span.start
    for hold in holds:
        start, end = max(hold.start, at), min(hold.end, span.end)
        if start < end:
            parts += [PhaseSpan(span.phase, at, start), PhaseSpan(Phase.ON_HOLD, start, end)]
            at = end
    parts.append(PhaseSpan(span.phase, at, span.end))
    return [part for part in parts if part.seconds > 0] or [span]


def sum_phases(timelines: Iterable[tuple[str, JobTimeline]]) -> list[PhaseTotal]:
    """Sum the time of each phase over (account, timeline) pairs; the phase with the most time comes first."""
    by_phase: dict[Phase, list[tuple[float, str]]] = {}
    for account, timeline in timelines:
        for phase in Phase:
            if seconds := timeline.sum_seconds(phase):
                by_phase.setdefault(phase, []).append((seconds, account))
    whole = sum(seconds for entries in by_phase.values() for seconds, _ in entries)
    totals = []
    for phase, entries in by_phase.items():
        total = sum(seconds for seconds, _ in entries)
        longest, account = max(entries, key=lambda entry: entry[0])
        totals.append(
            PhaseTotal(
                phase=phase,
                jobs=len(entries),
                total=total,
                share=total / whole,
                median=median(seconds for seconds, _ in entries),
                longest=longest,
                longest_account=account,
            )
        )
    return sorted(totals, key=lambda each: each.total, reverse=True)
