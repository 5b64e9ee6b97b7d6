"""Bar: how the jobs of a run stand, as a bar and as filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.web.dashboard.tone import STATE_MEANINGS, STATE_TONES
from orchestrator.web.query import PageQuery


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
