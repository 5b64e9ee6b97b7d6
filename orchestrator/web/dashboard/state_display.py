"""Colours, descriptions, filter chips and progress bar of job states.

Colour is never the only indication of a state: its name is always shown as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from orchestrator.core.jobs.lifecycle import STATE_DESCRIPTIONS, JobState
from orchestrator.core.structs import Struct
from orchestrator.status import HELD, JobView
from orchestrator.web.dashboard.page_query import PageQuery

STATE_TONES: Final[Mapping[str, str]] = {  # in the order of the progress bar and of the filters
    JobState.SUCCEEDED: "good",
    JobState.RUNNING: "busy",
    JobState.QUEUED: "busy",
    JobState.SUBMITTING: "busy",
    JobState.READY: "calm",
    JobState.PROCESSING: "calm",
    JobState.UPLOADING: "calm",
    JobState.PLANNED: "calm",
    JobState.CANCELLING: "off",
    JobState.CANCELLED: "off",
    HELD: "warn",
    JobState.FAILED: "bad",
}
STATE_MEANINGS: Final[Mapping[str, str]] = {state.value: text for state, text in STATE_DESCRIPTIONS.items()} | {
    HELD: "On hold with a reason, until an operator releases it or the time of the hold has passed."
}


def displayed_state(job: JobView) -> str:
    """Return the state under which a job is counted and filtered: a job on hold counts as held in any state."""
    return HELD if job.held else job.state


class FilterChip(Struct, frozen=True, kw_only=True):
    """A state with its number of jobs, and the URL that switches the filter for it on or off."""

    state: str  # value of the filter
    label: str  # as people read it
    tone: str
    meaning: str
    count: int
    chosen: bool
    href: str


class BarSegment(Struct, frozen=True):
    """A segment of the progress bar, in thousandths of its length."""

    tone: str
    start: float
    length: float


def build_segments(counts: Mapping[str, int]) -> tuple[BarSegment, ...]:
    """Build the progress bar of all jobs, one segment per tone."""
    total, before = sum(counts.values()), 0
    by_tone = dict.fromkeys(STATE_TONES.values(), 0)
    for state, count in counts.items():
        by_tone[STATE_TONES[state]] += count
    segments = []
    for tone, count in by_tone.items():
        if count:
            segments.append(BarSegment(tone, round(1000 * before / total, 1), round(1000 * count / total, 1)))
        before += count
    return tuple(segments)


def build_chips(counts: Mapping[str, int], query: PageQuery) -> tuple[FilterChip, ...]:
    """Build a filter chip for each state that occurs or is selected."""
    return tuple(
        FilterChip(
            state=state,
            label=state,
            tone=tone,
            meaning=STATE_MEANINGS[state],
            count=counts.get(state, 0),
            chosen=query.state == state,
            href=query.with_changes(state="" if query.state == state else state).href,
        )
        for state, tone in STATE_TONES.items()
        if state in counts or state == query.state
    )
