"""Delivery: an announcement on its way to one target, until it has arrived or is given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from orchestrator.core.jobs.retry_policy import apply_jitter
from orchestrator.core.notifications.notification import Topic

# Seconds after each failed attempt: eight attempts within about a day.
RETRY_DELAYS_SECONDS: Final = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 54_000.0)
MAX_ERROR_LENGTH: Final = 200  # characters of a target's answer that are kept


class Channel(StrEnum):
    """How a target is reached."""

    WEBHOOK = "webhook"
    ALERT = "alert"


class DeliveryStatus(StrEnum):
    """What has become of a delivery."""

    PENDING = "waiting"
    DELIVERED = "arrived"
    FAILED = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationTarget:
    """One `[[webhooks]]` or `[[alerts]]` entry. `url` and `secret` as written: an address, or the way to one."""

    channel: Channel
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
    def status(self) -> DeliveryStatus:
        """Dead is what was given up."""
        if self.delivered_at is not None:
            return DeliveryStatus.DELIVERED
        return DeliveryStatus.FAILED if self.due_at is None else DeliveryStatus.PENDING

    @property
    def is_failed(self) -> bool:
        """Given up."""
        return self.status is DeliveryStatus.FAILED


def after_attempt(delivery: Delivery, error: str | None, *, now: float, jitter: float) -> Delivery:
    """What becomes of it after an attempt that failed for this reason, or did not. `jitter` is drawn from 0 to 1."""
    if error is None:
        return replace(delivery, delivered_at=now, due_at=None, error=None)
    last = delivery.attempts > len(RETRY_DELAYS_SECONDS)
    again = None if last else now + apply_jitter(RETRY_DELAYS_SECONDS[delivery.attempts - 1], jitter)
    return replace(delivery, due_at=again, error=error)
