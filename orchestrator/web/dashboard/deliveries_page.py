"""The page of webhook and alert deliveries, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from orchestrator.core.notifications.delivery import Delivery, DeliveryStatus
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_age, format_count, format_remaining_time
from orchestrator.web.dashboard.page_query import PageQuery, PaginatedView
from orchestrator.web.dashboard.state_display import FilterChip

_DELIVERY_TONES: Final[Mapping[DeliveryStatus, str]] = {
    DeliveryStatus.FAILED: "bad",
    DeliveryStatus.PENDING: "busy",
    DeliveryStatus.DELIVERED: "good",
}
_DELIVERY_MEANINGS: Final[Mapping[DeliveryStatus, str]] = {
    DeliveryStatus.FAILED: "All retries failed. You can retry it.",
    DeliveryStatus.PENDING: "In progress or scheduled for retry.",
    DeliveryStatus.DELIVERED: "Delivered.",
}


class DeliveryRow(Struct, frozen=True, kw_only=True):
    """Row of the table: one notification to one webhook or alert target."""

    number: int
    event: str
    account: str | None
    target: str
    status: DeliveryStatus
    tone: str
    meaning: str
    attempts: str
    when: str
    error: str | None

    @classmethod
    def from_delivery(cls, delivery: Delivery, now: float) -> DeliveryRow:
        """Build the row of a delivery; `now` is Unix time."""
        return cls(
            number=delivery.id,
            event=delivery.topic,
            account=delivery.payload["data"]["account"],
            target=delivery.target,
            status=delivery.status,
            tone=_DELIVERY_TONES[delivery.status],
            meaning=_DELIVERY_MEANINGS[delivery.status],
            attempts=_format_attempts(delivery, now),
            when=format_age(now - delivery.created_at),
            error=delivery.error,
        )


class DeliveriesPage(PaginatedView, frozen=True, kw_only=True):
    """View of the page. `dead_count` and `total` do not depend on the filter."""

    chips: tuple[FilterChip, ...]
    status_filter: DeliveryStatus | None  # None: all
    rows: tuple[DeliveryRow, ...]
    dead_count: int
    total: int

    def page_href(self, page: int) -> str:
        """Return the URL of another page with the same filter."""
        return replace(self.query, page=page).href_for("/deliveries")


def find_status_filter(query: PageQuery) -> DeliveryStatus | None:
    """Return the delivery status to which the query filters the page, None for all."""
    return DeliveryStatus(query.state) if query.state in set(DeliveryStatus) else None


def count_matches(counts: Mapping[DeliveryStatus, int], status: DeliveryStatus | None) -> int:
    """Return the number of deliveries with this status, or of all."""
    return sum(counts.values()) if status is None else counts[status]


def build_deliveries_page(
    counts: Mapping[DeliveryStatus, int], deliveries: Sequence[Delivery], query: PageQuery, now: float
) -> DeliveriesPage:
    """Build the page. `counts` covers all deliveries, `deliveries` are those of this page."""
    return DeliveriesPage(
        query=query,
        match_count=count_matches(counts, find_status_filter(query)),
        chips=tuple(
            _build_chip(status, count, query) for status, count in counts.items() if count or status == query.state
        ),
        status_filter=find_status_filter(query),
        rows=tuple(DeliveryRow.from_delivery(delivery, now) for delivery in deliveries),
        dead_count=counts[DeliveryStatus.FAILED],
        total=sum(counts.values()),
    )


def _build_chip(status: DeliveryStatus, count: int, query: PageQuery) -> FilterChip:
    is_chosen = query.state == status
    return FilterChip(
        state=status,
        label=status.label,
        tone=_DELIVERY_TONES[status],
        meaning=_DELIVERY_MEANINGS[status],
        count=count,
        chosen=is_chosen,
        href=query.with_changes(state="" if is_chosen else status).href_for("/deliveries"),
    )


def _format_attempts(delivery: Delivery, now: float) -> str:
    attempts = format_count(delivery.attempts, "attempt") if delivery.attempts else "not attempted yet"
    if delivery.due_at is None or not delivery.attempts:
        return attempts
    return f"{attempts}, next in {format_remaining_time(delivery.due_at - now)}"
