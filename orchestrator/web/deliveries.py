"""Deliveries: what the API answers about what was told to webhooks and alerts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from orchestrator import status
from orchestrator.core import delivery
from orchestrator.core.announcement import Topic
from orchestrator.core.delivery import Fate
from orchestrator.web.documents import Count, Document, Moment
from orchestrator.web.program import Program
from orchestrator.web.reading import Limit


class Delivery(Document):
    """An event on its way to one target."""

    id: int = Field(ge=1, description="Later deliveries have larger ids.")
    message: str = Field(description="The event's own id, the same for every attempt and target: `webhook-id`.")
    event: Topic
    target: str = Field(description="The address, or the way to it, as the accounts file has it.")
    state: Fate = Field(description="A dead one was given up.")
    attempts: Count
    created_at: Moment
    due_at: Moment | None = Field(description="When it is tried next.")
    delivered_at: Moment | None
    error: str | None = Field(description="What the last attempt ended with.")
    payload: dict[str, Any] = Field(description="What is sent.")

    @classmethod
    def of(cls, told: delivery.Delivery) -> Delivery:
        return cls(
            id=told.id,
            message=told.message,
            event=told.topic,
            target=told.target,
            state=told.fate,
            attempts=told.attempts,
            created_at=status.iso(told.created_at) or "",
            due_at=status.iso(told.due_at),
            delivered_at=status.iso(told.delivered_at),
            error=told.error,
            payload=dict(told.payload),
        )


class DeliveryPage(Document):
    """Deliveries, the newest first."""

    deliveries: list[Delivery]
    counts: dict[str, Count] = Field(description="All there are, by state.")
    next: int | None = Field(description="`after` of the next page; null on the last.")


class Deliveries:
    """Their path."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.routes = APIRouter(tags=["deliveries"])
        self.routes.add_api_route(
            "/deliveries", self.show, methods=["GET"], response_model=DeliveryPage, operation_id="deliveries"
        )

    async def show(
        self,
        state: Annotated[Fate | None, Query(description="Only those that wait, arrived or were given up.")] = None,
        limit: Limit = 100,
        after: Annotated[int | None, Query(ge=1, lt=2**31, description="`next` of the page before.")] = None,
    ) -> DeliveryPage:
        """What webhooks and alerts were told, and what they were not, the newest first."""
        call = self._program.call
        found = await call(status.deliveries, state, limit=limit + 1, before=after)
        page = [Delivery.of(told) for told in found[:limit]]
        counts = {fate.value: count for fate, count in (await call(status.count_deliveries)).items()}
        return DeliveryPage(deliveries=page, counts=counts, next=page[-1].id if len(found) > limit else None)
