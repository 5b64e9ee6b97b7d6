"""Told: what webhooks and alerts were told and what they were not, the newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.core.delivery import Delivery, Fate
from orchestrator.web.dashboard.bar import Chip
from orchestrator.web.dashboard.paged import Paged
from orchestrator.web.query import Query
from orchestrator.web.wording import plural, soon, span

_TONES: Final[Mapping[Fate, str]] = {Fate.DEAD: "bad", Fate.WAITING: "busy", Fate.ARRIVED: "good"}
_MEANINGS: Final[Mapping[Fate, str]] = {
    Fate.DEAD: "It was given up, and is told again when someone asks for it.",
    Fate.WAITING: "It is under way, or tried again after a while.",
    Fate.ARRIVED: "The target has taken it.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One delivery."""

    number: int
    event: str
    account: str | None
    target: str
    fate: Fate
    tone: str
    meaning: str
    tries: str
    when: str
    error: str | None

    @classmethod
    def of(cls, delivery: Delivery, now: float) -> Row:
        """The line of this delivery at this moment."""
        passed = span(now - delivery.created_at)
        return cls(
            number=delivery.id,
            event=delivery.topic,
            account=delivery.payload["data"]["account"],
            target=delivery.target,
            fate=delivery.fate,
            tone=_TONES[delivery.fate],
            meaning=_MEANINGS[delivery.fate],
            tries=_tries(delivery, now),
            when=f"{passed} ago" if passed else "just now",
            error=delivery.error,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class View(Paged):
    """The page. `dead` is how many there are on all pages, whatever the filter."""

    chips: tuple[Chip, ...]
    rows: tuple[Row, ...]
    dead: int
    total: int

    def at(self, page: int) -> str:
        """The address of another page of the same filter."""
        return replace(self.query, page=page).at("/deliveries")


def chosen(query: Query) -> Fate | None:
    """The fate that the address narrows the page to."""
    return Fate(query.state) if query.state in set(Fate) else None


def matching(counts: Mapping[Fate, int], fate: Fate | None) -> int:
    """How many there are with this fate, or of all."""
    return sum(counts.values()) if fate is None else counts[fate]


def look(counts: Mapping[Fate, int], found: Sequence[Delivery], query: Query, now: float) -> View:
    """The page of `query`, whose deliveries were found."""
    return View(
        query=query,
        matching=matching(counts, chosen(query)),
        chips=tuple(_chip(fate, count, query) for fate, count in counts.items() if count or fate == query.state),
        rows=tuple(Row.of(delivery, now) for delivery in found),
        dead=counts[Fate.DEAD],
        total=sum(counts.values()),
    )


def _chip(fate: Fate, count: int, query: Query) -> Chip:
    is_chosen = query.state == fate
    return Chip(
        state=fate,
        tone=_TONES[fate],
        meaning=_MEANINGS[fate],
        count=count,
        chosen=is_chosen,
        href=query.but(state="" if is_chosen else fate).at("/deliveries"),
    )


def _tries(delivery: Delivery, now: float) -> str:
    tried = plural(delivery.attempts, "attempt") if delivery.attempts else "not tried yet"
    if delivery.due_at is None or not delivery.attempts:
        return tried
    return f"{tried}, again in {soon(delivery.due_at - now)}"
