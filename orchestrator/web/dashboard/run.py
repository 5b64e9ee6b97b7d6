"""Run: the first page. Is it going well, which accounts need someone, what are the model ids, what did it cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.core.hold import HoldKind
from orchestrator.core.lifecycle import ENDS, State
from orchestrator.status import HELD, Glance, Health, Listing, RunView
from orchestrator.web.dashboard.bar import Chip, Segment, chips, segments
from orchestrator.web.dashboard.paged import Paged
from orchestrator.web.dashboard.row import Row
from orchestrator.web.dashboard.trouble import Notice, Trouble, notices, troubles, warned
from orchestrator.web.query import Query
from orchestrator.web.wording import number, plural, soon


@dataclass(frozen=True, slots=True, kw_only=True)
class View(Paged):
    """One page. `submitted_usd` is the estimated price of the jobs that the providers have; None is unknown."""

    run: RunView | None
    current: bool
    headline: str
    tone: str
    ready: int
    total: int
    needy: int
    submitted_usd: float | None
    ends: str | None
    segments: tuple[Segment, ...]
    chips: tuple[Chip, ...]
    providers: tuple[str, ...]
    labels: tuple[str, ...]
    notices: tuple[Notice, ...]
    troubles: tuple[Trouble, ...]
    rows: tuple[Row, ...]

    def at(self, page: int) -> str:
        """The address of another page of the same filters."""
        return replace(self.query, page=page).href


def look(seen: Glance | None, listing: Listing | None, health: Health, query: Query, now: float) -> View:
    """The page of `query`, whose rows are in `listing`."""
    run = seen.run if seen else None
    ends = seen.ends_at(now) if seen and seen.current else None
    headline, tone = _headline(seen)
    return View(
        query=query,
        run=run,
        current=seen is not None and seen.current,
        headline=headline,
        tone=tone,
        ready=seen.counts.get(State.SUCCEEDED, 0) if seen else 0,
        total=seen.total if seen else 0,
        needy=seen.needy if seen else 0,
        submitted_usd=seen.submitted_usd if seen else None,
        ends=soon(ends - now) if ends is not None else None,
        segments=segments(seen.counts) if seen else (),
        chips=chips(listing.counts, query) if listing else (),
        providers=tuple(sorted({share.provider for share in seen.shares})) if seen else (),
        labels=seen.labels if seen else (),
        notices=(
            *notices(run if seen and seen.current else None, health),
            *warned(seen.warnings if seen else ()),
        ),
        troubles=troubles(seen.causes) if seen else (),
        rows=tuple(Row.of(job, run, now) for job in listing.jobs) if listing else (),
        matching=listing.total if listing else 0,
    )


def _headline(seen: Glance | None) -> tuple[str, str]:
    """Is it going well? In a few words, and their tone."""
    if seen is None:
        return "No run yet", "calm"
    if not seen.current:
        return "An earlier run", "off"
    if seen.run.holds:
        return _held(seen.run)
    if seen.needy:
        return plural(seen.needy, "account") + (" needs you" if seen.needy == 1 else " need you"), "bad"
    return _going(seen)


def _held(run: RunView) -> tuple[str, str]:
    if {hold.kind for hold in run.holds} != {HoldKind.MODERATING}:
        return "The run is held", "warn"
    progress = (run.moderation or {}).get("progress") or {}
    if progress.get("retry_at"):
        return "The moderation does not answer", "warn"
    return "The chats are being moderated", "busy"


def _going(seen: Glance) -> tuple[str, str]:
    ready = seen.counts.get(State.SUCCEEDED, 0)
    if ready == seen.total:
        return ("Every model is ready", "good") if ready else ("No accounts", "calm")
    if all(state in {*ENDS, HELD} for state in seen.counts):
        return f"Over: {number(ready)} of {number(seen.total)} models ready", "off"
    if not seen.run.started:
        return "Files only; `orchestrator start` starts the training", "calm"
    if concerned := sum(cause.count for cause in seen.warnings):
        return plural(concerned, "job") + (" needs a look" if concerned == 1 else " need a look"), "warn"
    return "Going well", "busy"
