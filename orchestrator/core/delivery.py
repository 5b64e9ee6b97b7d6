"""Delivery: an announcement on its way to one target, until it has arrived or is given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from orchestrator.core.announcement import Topic
from orchestrator.core.retry import spread

# Seconds after each failed attempt: eight attempts within about a day.
DELAYS: Final = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 54_000.0)
ERROR_LIMIT: Final = 200  # characters of a target's answer that are kept


class Way(StrEnum):
    """How a target is reached."""

    WEBHOOK = "webhook"
    ALERT = "alert"


class Fate(StrEnum):
    """What has become of a delivery."""

    WAITING = "waiting"
    ARRIVED = "arrived"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One `[[webhooks]]` or `[[alerts]]` entry. `url` and `secret` as written: an address, or the way to one."""

    way: Way
    url: str
    secret: str | None = None
    topics: frozenset[Topic] = frozenset(Topic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Times are epoch seconds, UTC. `target` is a target's `url`; `message` is the same for every attempt.

    `due_at` is None when nothing is tried any more: it has arrived, or it is dead.
    """

    id: int
    message: str
    target: str
    topic: Topic
    payload: Mapping[str, Any]
    created_at: float
    attempts: int = 0
    due_at: float | None = None
    delivered_at: float | None = None
    error: str | None = None

    @property
    def fate(self) -> Fate:
        """Dead is what was given up."""
        if self.delivered_at is not None:
            return Fate.ARRIVED
        return Fate.DEAD if self.due_at is None else Fate.WAITING

    @property
    def dead(self) -> bool:
        """Given up."""
        return self.fate is Fate.DEAD


def settled(delivery: Delivery, error: str | None, *, now: float, jitter: float) -> Delivery:
    """What becomes of it after an attempt that failed for this reason, or did not. `jitter` is drawn from 0 to 1."""
    if error is None:
        return replace(delivery, delivered_at=now, due_at=None, error=None)
    last = delivery.attempts > len(DELAYS)
    again = None if last else now + spread(DELAYS[delivery.attempts - 1], jitter)
    return replace(delivery, due_at=again, error=error)
