"""API route and response models of webhook and alert deliveries."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from orchestrator import status
from orchestrator.core.notifications.delivery import Delivery, DeliveryStatus
from orchestrator.core.notifications.notification import Topic
from orchestrator.web.api import API_PREFIX
from orchestrator.web.api.resources import LimitParameter
from orchestrator.web.api.schemas.jobs_and_runs import ApiModel, Count, Timestamp
from orchestrator.web.backend import WebBackend


class DeliverySchema(ApiModel):
    """One notification to one webhook or alert target."""

    id: int = Field(ge=1, description="Delivery id; later deliveries have larger ids.")
    message: str = Field(
        description="Message id, the same for every attempt and target; sent as the header `webhook-id`."
    )
    event: Topic
    target: str = Field(description="Webhook URL or alert target, as in the accounts file.")
    state: DeliveryStatus = Field(
        description="`waiting`: in progress or scheduled; `arrived`: delivered; `dead`: all retries failed."
    )
    attempts: Count
    created_at: Timestamp
    due_at: Timestamp | None = Field(description="Time of the next attempt.")
    delivered_at: Timestamp | None
    error: str | None = Field(description="Error of the last attempt.")
    payload: dict[str, Any] = Field(description="Payload of the notification.")

    @classmethod
    def from_delivery(cls, source: Delivery) -> DeliverySchema:
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
    """A page of deliveries, newest first."""

    deliveries: list[DeliverySchema]
    counts: dict[str, Count] = Field(description="Number of deliveries by state.")
    next: int | None = Field(description="Value of `after` for the next page; null on the last page.")


class DeliveryRoutes:
    """The route `/api/v1/deliveries`."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self.router = APIRouter(prefix=API_PREFIX, tags=["deliveries"])
        self.router.add_api_route(
            "/deliveries",
            self.list_deliveries,
            methods=["GET"],
            response_model=DeliveryPageSchema,
            operation_id="list_deliveries",
        )

    async def list_deliveries(
        self,
        state: Annotated[DeliveryStatus | None, Query(description="Only deliveries in this state.")] = None,
        limit: LimitParameter = 100,
        after: Annotated[int | None, Query(ge=1, lt=2**31, description="`next` of the previous page.")] = None,
    ) -> DeliveryPageSchema:
        """List webhook and alert deliveries, newest first."""
        call = self._backend.call_with_database
        rows = await call(status.list_deliveries, state, limit=limit + 1, before=after)
        page = [DeliverySchema.from_delivery(delivery) for delivery in rows[:limit]]
        counts = {each.value: count for each, count in (await call(status.count_deliveries)).items()}
        return DeliveryPageSchema(deliveries=page, counts=counts, next=page[-1].id if len(rows) > limit else None)
