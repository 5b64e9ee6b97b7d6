"""Plan: what the run will do in each account, and at what price, as the database has it. To look asks no provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.core.errors import Failure
from orchestrator.core.lifecycle import UNSENT, State
from orchestrator.status import HELD, Glance, Health, JobView, Listing, RunView, Share
from orchestrator.web.dashboard.paged import Paged
from orchestrator.web.dashboard.tone import TONES, shown_state
from orchestrator.web.dashboard.trouble import Notice, notices
from orchestrator.web.query import Query
from orchestrator.web.wording import plural, words

_STEPS: Final[Mapping[str, str]] = {
    State.PLANNED: "upload the file, then train",
    State.UPLOADING: "upload the file, then train",
    State.PROCESSING: "train when the file is checked",
    State.READY: "train",
    State.SUCCEEDED: "done: nothing to do",
    State.FAILED: "failed: nothing unless it is retried",
    State.CANCELLED: "cancelled: nothing",
    State.CANCELLING: "being cancelled",
    HELD: "held: nothing until that is over",
}
_GOES_ON: Final = "under way at the provider"
_ENDED: Final = "Failed or cancelled"
_GROUPS: Final = (
    ("Will be trained", "calm", frozenset(UNSENT)),
    ("Under way", "busy", frozenset({State.SUBMITTING, State.QUEUED, State.RUNNING, State.CANCELLING})),
    ("Done", "good", frozenset({State.SUCCEEDED})),
    ("Held", "warn", frozenset({HELD})),
    (_ENDED, "bad", frozenset({State.FAILED, State.CANCELLED})),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Accounts that share a fate, and the price of their jobs: planned, or of what was created where it has ended."""

    name: str
    tone: str
    count: int
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One account: what will happen there."""

    account: str
    provider: str
    base_model: str
    step: str
    tone: str
    usd: float | None
    hold: Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class View(Paged):
    """The page. `submitted_usd` is what was created at the providers, as on the run's page; None is unknown."""

    run: RunView | None
    total: int
    notices: tuple[Notice, ...]
    warnings: tuple[str, ...]
    submitted_usd: float | None
    parts: tuple[Part, ...]
    specs: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    lines: tuple[Line, ...]

    def at(self, page: int) -> str:
        """The address of another page."""
        return replace(self.query, page=page).at("/plan")


def look(seen: Glance | None, listing: Listing | None, health: Health, query: Query) -> View:
    """The plan of the run as it is now."""
    return View(
        query=query,
        run=seen.run if seen else None,
        total=seen.total if seen else 0,
        notices=tuple(notices(seen.run, health)) if seen and seen.current else (),
        warnings=tuple(_warnings(seen)) if seen else (),
        submitted_usd=seen.submitted_usd if seen else None,
        parts=_parts(seen.shares) if seen else (),
        specs=tuple((name, _spec(spec)) for name, spec in seen.run.specs.items()) if seen else (),
        lines=tuple(_line(job) for job in listing.jobs) if listing else (),
        matching=listing.total if listing else 0,
    )


def _warnings(seen: Glance) -> Sequence[str]:
    moderation = seen.run.moderation or {}
    told = []
    if seen.run.planned_usd is None:
        told.append("No price is known for a part of the run.")
    if moderation.get("state") == "waived":
        told.append(f"The chats are not moderated: {moderation['by']} waived it ({moderation['reason']}).")
    if held := seen.counts.get(HELD, 0):
        told.append(f"{plural(held, 'account')} held: nothing is sent there.")
    return told


def _parts(shares: Sequence[Share]) -> tuple[Part, ...]:
    parts = []
    for name, tone, states in _GROUPS:
        of_it = [share for share in shares if share.state in states]
        if of_it:
            count = sum(share.count for share in of_it)
            usd = sum(share.usd if name != _ENDED else share.submitted_usd for share in of_it)
            parts.append(Part(name=name, tone=tone, count=count, usd=usd))
    return tuple(parts)


def _spec(spec: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((words(name), value) for name, value in spec.items() if value is not None)


def _line(job: JobView) -> Line:
    state = shown_state(job)
    return Line(
        account=job.account,
        provider=job.provider,
        base_model=job.base_model,
        step=_STEPS.get(state, _GOES_ON),
        tone=TONES[state],
        usd=job.estimated_usd,
        hold=job.error if job.held else None,
    )
