"""Tone: how a state looks. Colour is never the only sign: the word stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.core.jobs.lifecycle import STATE_DESCRIPTIONS, JobState
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
    HELD: "Set aside with a reason, until a person or a time releases it."
}


def displayed_state(job: JobView) -> str:
    """The state as it is counted and filtered: a job that is set aside is held, wherever it is."""
    return HELD if job.held else job.state


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterChip:
    """A state, how many jobs are in it, and the address that shows only them, or all again."""

    state: str
    tone: str
    meaning: str
    count: int
    chosen: bool
    href: str


@dataclass(frozen=True, slots=True)
class BarSegment:
    """A part of the progress bar, in thousandths of its length."""

    tone: str
    start: float
    length: float


def build_segments(counts: Mapping[str, int]) -> tuple[BarSegment, ...]:
    """The bar of all jobs, by tone."""
    total, before = sum(counts.values()), 0
    by_tone = dict.fromkeys(STATE_TONES.values(), 0)
    for state, count in counts.items():
        by_tone[STATE_TONES[state]] += count
    parts = []
    for tone, count in by_tone.items():
        if count:
            parts.append(BarSegment(tone, round(1000 * before / total, 1), round(1000 * count / total, 1)))
        before += count
    return tuple(parts)


def build_chips(counts: Mapping[str, int], query: PageQuery) -> tuple[FilterChip, ...]:
    """A filter for each state that there is, or that is chosen."""
    return tuple(
        FilterChip(
            state=state,
            tone=tone,
            meaning=STATE_MEANINGS[state],
            count=counts.get(state, 0),
            chosen=query.state == state,
            href=query.with_changes(state="" if query.state == state else state).href,
        )
        for state, tone in STATE_TONES.items()
        if state in counts or state == query.state
    )
