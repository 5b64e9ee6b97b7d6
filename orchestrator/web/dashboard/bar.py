"""Bar: how the jobs of a run stand, as a bar and as filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.web.dashboard.tone import MEANING, TONES
from orchestrator.web.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A state, how many jobs are in it, and the address that shows only them, or all again."""

    state: str
    tone: str
    meaning: str
    count: int
    chosen: bool
    href: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the progress bar, in thousandths of its length."""

    tone: str
    start: float
    length: float


def segments(counts: Mapping[str, int]) -> tuple[Segment, ...]:
    """The bar of all jobs, by tone."""
    total, before = sum(counts.values()), 0
    by_tone = dict.fromkeys(TONES.values(), 0)
    for state, count in counts.items():
        by_tone[TONES[state]] += count
    parts = []
    for tone, count in by_tone.items():
        if count:
            parts.append(Segment(tone, round(1000 * before / total, 1), round(1000 * count / total, 1)))
        before += count
    return tuple(parts)


def chips(counts: Mapping[str, int], query: Query) -> tuple[Chip, ...]:
    """A filter for each state that there is, or that is chosen."""
    return tuple(
        Chip(
            state=state,
            tone=tone,
            meaning=MEANING[state],
            count=counts.get(state, 0),
            chosen=query.state == state,
            href=query.but(state="" if query.state == state else state).href,
        )
        for state, tone in TONES.items()
        if state in counts or state == query.state
    )
