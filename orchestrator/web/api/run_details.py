"""API routes that analyse one run: its timeline and its costs."""

from __future__ import annotations

from fastapi import APIRouter

from orchestrator import status
from orchestrator.web.api import API_PREFIX
from orchestrator.web.api.resources import (
    AfterParameter,
    JobFilterParameter,
    LimitParameter,
    NameParameter,
    require_found,
)
from orchestrator.web.api.schemas.run_details import CostsSchema, TimelineSchema
from orchestrator.web.backend import WebBackend


class RunDetailRoutes:
    """Routes below `/runs/{run}`: an id, the name of a current run, or `current` for the current run."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self.router = APIRouter(prefix=f"{API_PREFIX}/runs/{{run}}", tags=["runs"])
        self.router.add_api_route(
            "/timeline",
            self.timeline,
            methods=["GET"],
            response_model=TimelineSchema,
            operation_id="get_timeline",
        )

        self.router.add_api_route(
            "/costs", self.costs, methods=["GET"], response_model=CostsSchema, operation_id="get_costs"
        )

    async def costs(self, run: NameParameter) -> CostsSchema:
        """Return what a run costs: planned, submitted, quoted and trained prices, by provider and over time."""
        view = await self._backend.call_with_database(
            status.find_costs, self._backend.find_price, run_id=_to_run_id(run)
        )
        return CostsSchema.from_view(require_found(view, f"run {run}", "/api/v1/runs"))

    async def timeline(
        self,
        run: NameParameter,
        job_filter: JobFilterParameter,
        limit: LimitParameter = 500,
        after: AfterParameter = "",
    ) -> TimelineSchema:
        """Return the phases of each job of a run, with the time spent in each, sorted by account name.

        The phases are computed from the event history. What is pruned from it is the phase `not_recorded`.
        """
        view = await self._backend.call_with_database(
            status.find_timeline,
            job_filter,
            self._backend.now(),
            run_id=_to_run_id(run),
            limit=limit,
            after=after,
        )
        return TimelineSchema.from_view(require_found(view, f"run {run}", "/api/v1/runs"))


def _to_run_id(run: str) -> str | None:
    return None if run == "current" else run
