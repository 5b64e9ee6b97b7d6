"""View: what one page of the dashboard shows. Status and query in, plain values out.

Only what is shown is in a view: two equal views are the same page.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from orchestrator.core.errors import Failure
from orchestrator.core.lifecycle import State
from orchestrator.status import Health, RunView, Status
from orchestrator.web.query import Query
from orchestrator.web.row import Row
from orchestrator.web.tone import MEANING, TONES
from orchestrator.web.trouble import Trouble, needs_person, notices, troubles
from orchestrator.web.wording import plural

PAGE_ROWS: Final = 50


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


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One page. `submitted_usd` is the estimated price of the jobs that the providers have; None is unknown."""

    query: Query
    run: RunView | None
    headline: str
    tone: str
    ready: int
    total: int
    needy: int
    submitted_usd: float | None
    segments: tuple[Segment, ...]
    chips: tuple[Chip, ...]
    notices: tuple[Failure, ...]
    troubles: tuple[Trouble, ...]
    rows: tuple[Row, ...]
    matching: int
    pages: int

    @property
    def first(self) -> int:
        """The number of the first row, counted from 1 over all pages."""
        return (self.query.page - 1) * PAGE_ROWS + 1

    def at(self, page: int) -> str:
        """The address of another page of the same filters."""
        return replace(self.query, page=page).href


def look(status: Status, health: Health, query: Query, now: float) -> View:
    """The page that `query` asks for, or the last one where there are not so many."""
    matching = [job for job in status.jobs if query.asks_for(job)]
    pages = max(1, -(-len(matching) // PAGE_ROWS))
    query = replace(query, page=min(query.page, pages))
    start = (query.page - 1) * PAGE_ROWS
    needy = [job for job in status.jobs if needs_person(job, status.run)]
    headline, tone = _headline(status, len(needy))
    return View(
        query=query,
        run=status.run,
        headline=headline,
        tone=tone,
        ready=status.counts.get(State.SUCCEEDED, 0),
        total=len(status.jobs),
        needy=len(needy),
        submitted_usd=_submitted_usd(status),
        segments=_segments(status),
        chips=_chips(status, query),
        notices=tuple(notices(status, health)),
        troubles=troubles(needy),
        rows=tuple(Row.of(job, status.run, now) for job in matching[start : start + PAGE_ROWS]),
        matching=len(matching),
        pages=pages,
    )


def _headline(status: Status, needy: int) -> tuple[str, str]:
    """Is it going well? In a few words, and their tone."""
    run = status.run
    if run is None:
        return "No run yet", "calm"
    if run.holds:
        return "The run is held", "warn"
    if needy:
        return plural(needy, "account") + (" needs you" if needy == 1 else " need you"), "bad"
    if status.settled:
        return ("Every model is ready", "good") if status.succeeded else ("Nothing more happens", "off")
    if not run.started:
        return "Files only; `orchestrator start` starts the training", "calm"
    return "Going well", "busy"


def _submitted_usd(status: Status) -> float | None:
    prices = [job.estimated_usd for job in status.jobs if job.submitted_at is not None]
    known = [price for price in prices if price is not None]
    return sum(known) if len(known) == len(prices) else None


def _segments(status: Status) -> tuple[Segment, ...]:
    counts = dict.fromkeys(TONES.values(), 0)
    for state, count in status.counts.items():
        counts[TONES[state]] += count
    segments, before = [], 0
    for tone, count in counts.items():
        if count:
            scale = 1000 / len(status.jobs)
            segments.append(Segment(tone, round(before * scale, 1), round(count * scale, 1)))
        before += count
    return tuple(segments)


def _chips(status: Status, query: Query) -> tuple[Chip, ...]:
    return tuple(
        Chip(
            state=state,
            tone=tone,
            meaning=MEANING[state],
            count=status.counts.get(state, 0),
            chosen=query.state == state,
            href=replace(query, state="" if query.state == state else state, page=1).href,
        )
        for state, tone in TONES.items()
        if state in status.counts or state == query.state
    )
