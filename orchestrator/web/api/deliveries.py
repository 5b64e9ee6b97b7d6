"""Deliveries: what the API answers about what was told to webhooks and alerts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from orchestrator import status
from orchestrator.core.notifications import delivery
from orchestrator.core.notifications.delivery import DeliveryStatus
from orchestrator.core.notifications.notification import Topic
from orchestrator.web.api.resources import LimitParameter
from orchestrator.web.api.schemas.jobs_and_runs import ApiModel, Count, Timestamp
from orchestrator.web.backend import WebBackend


class DeliverySchema(ApiModel):
    """An event on its way to one target."""

    id: int = Field(ge=1, description="Later deliveries have larger ids.")
    message: str = Field(description="The event's own id, the same for every attempt and target: `webhook-id`.")
    event: Topic
    target: str = Field(description="The address, or the way to it, as the accounts file has it.")
    state: DeliveryStatus = Field(description="A dead one was given up.")
    attempts: Count
    created_at: Timestamp
    due_at: Timestamp | None = Field(description="When it is tried next.")
    delivered_at: Timestamp | None
    error: str | None = Field(description="What the last attempt ended with.")
    payload: dict[str, Any] = Field(description="What is sent.")

    @classmethod
    def from_delivery(cls, source: delivery.Delivery) -> DeliverySchema:
        return cls(
            id=source.id,
            message=source.message,
            event=source.topic,
            target=source.target,
            state=source.status,
            attempts=source.attempts,
            created_at=status.format_iso(source.created_at) or "",
            due_at=status.format_iso(source.due_at),
            delivered_at=status.format_iso(source.delivered_at),
            error=source.error,
            payload=dict(source.payload),
        )


class DeliveryPageSchema(ApiModel):
    """Deliveries, the newest first."""

    deliveries: list[DeliverySchema]
    counts: dict[str, Count] = Field(description="All there are, by state.")
    next: int | None = Field(description="`after` of the next page; null on the last.")


class DeliveryRoutes:
    """Their path."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self.router = APIRouter(tags=["deliveries"])
        self.router.add_api_route(
            "/deliveries",
            self.list_deliveries,
            methods=["GET"],
            response_model=DeliveryPageSchema,
            operation_id="deliveries",
        )

    async def list_deliveries(
        self,
        state: Annotated[
            DeliveryStatus | None, Query(description="Only those that wait, arrived or were given up.")
        ] = None,
        limit: LimitParameter = 100,
        after: Annotated[int | None, Query(ge=1, lt=2**31, description="`next` of the page before.")] = None,
    ) -> DeliveryPageSchema:
        """What webhooks and alerts were told, and what they were not, the newest first."""
        call = self._backend.call_with_database
        found = await call(status.list_deliveries, state, limit=limit + 1, before=after)
        page = [DeliverySchema.from_delivery(told) for told in found[:limit]]
        counts = {fate.value: count for fate, count in (await call(status.count_deliveries)).items()}
        return DeliveryPageSchema(deliveries=page, counts=counts, next=page[-1].id if len(found) > limit else None)
