"""Deliveries: the sending of one notification to one target, with retries."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from orchestrator.core.jobs.retry_policy import apply_jitter
from orchestrator.core.notifications.notification import Topic
from orchestrator.core.structs import Struct, replace

# The delay after each failed attempt: eight attempts within about a day.
RETRY_DELAYS_SECONDS: Final = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 54_000.0)
MAX_ERROR_LENGTH: Final = 200  # characters of a target's reply that are stored


class Channel(StrEnum):
    """The kind of a target."""

    WEBHOOK = "webhook"
    ALERT = "alert"


class DeliveryStatus(StrEnum):
    """The state of a delivery: `waiting` is pending, `arrived` is delivered, `dead` has failed after all retries."""

    # The values are stored and part of the API. People read `label`.
    PENDING = "waiting"
    DELIVERED = "arrived"
    FAILED = "dead"

    @property
    def label(self) -> str:
        """The state as people read it, in the words of the glossary."""
        return self.name.lower()


class NotificationTarget(Struct, frozen=True, kw_only=True):
    """One `[[webhooks]]` or `[[alerts]]` entry of the accounts file."""

    channel: Channel
    url: str  # as written there: an address or a reference to one
    secret: str | None = None  # reference to the secret that signs webhooks
    topics: frozenset[Topic] = frozenset(Topic)  # the notifications that it receives


class Delivery(Struct, frozen=True, kw_only=True):
    """A notification for one target. Times are epoch seconds, UTC. The field names are stored."""

    id: int
    message: str  # message id, the same for every attempt: the receiver can detect duplicates
    target: str  # `url` of the target, as in the accounts file
    topic: Topic
    payload: Mapping[str, Any]
    created_at: float
    attempts: int = 0
    due_at: float | None = None  # next attempt; None: delivered, or failed after all attempts
    delivered_at: float | None = None
    error: str | None = None  # of the last attempt

    @property
    def status(self) -> DeliveryStatus:
        """The status, derived from `delivered_at` and `due_at`."""
        if self.delivered_at is not None:
            return DeliveryStatus.DELIVERED
        return DeliveryStatus.FAILED if self.due_at is None else DeliveryStatus.PENDING

    @property
    def is_failed(self) -> bool:
        """Whether all attempts have failed. An operator can retry it."""
        return self.status is DeliveryStatus.FAILED


def after_attempt(delivery: Delivery, error: str | None, *, now: float, jitter: float) -> Delivery:
    """Return the delivery after an attempt; `error` is None if it succeeded. `jitter` is a random number, 0 to 1."""
    if error is None:
        return replace(delivery, delivered_at=now, due_at=None, error=None)
    last = delivery.attempts > len(RETRY_DELAYS_SECONDS)
    again = None if last else now + apply_jitter(RETRY_DELAYS_SECONDS[delivery.attempts - 1], jitter)
    return replace(delivery, due_at=again, error=error)
