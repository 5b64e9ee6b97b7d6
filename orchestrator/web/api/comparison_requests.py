"""API routes by which an operator plans, requests and stops comparisons."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from orchestrator.web.api import API_PREFIX
from orchestrator.web.api.actions import RunNameParameter
from orchestrator.web.api.schemas.comparison_requests import (
    ComparisonOptions,
    ComparisonRequest,
    PlannedComparisonSchema,
    StoppedComparisonSchema,
)
from orchestrator.web.api.schemas.jobs_and_runs import ShortText
from orchestrator.web.auth.principal import CurrentPrincipal
from orchestrator.web.backend import WebBackend
from orchestrator.web.comparison_executor import ComparisonExecutor

ComparisonIdParameter = Annotated[ShortText, Path(description="Comparison id.")]


class ComparisonRequestRoutes:
    """Routes under `/api/v1/comparisons` that change something."""

    def __init__(self, backend: WebBackend) -> None:
        self._executor = ComparisonExecutor(backend)
        self.router = APIRouter(prefix=f"{API_PREFIX}/comparisons", tags=["comparisons"])
        add = self.router.add_api_route
        add("", self.request, methods=["POST"], operation_id="start_comparison")
        add("/plan", self.plan, methods=["POST"], operation_id="plan_comparison")
        add("/{comparison}/stop", self.stop, methods=["POST"], operation_id="stop_comparison")

    async def request(
        self, principal: CurrentPrincipal, body: ComparisonRequest, run: RunNameParameter = ""
    ) -> PlannedComparisonSchema:
        """Compare the models of a run. The service asks them the probes twice, which takes minutes.

        The price must be confirmed by `max_usd`, `expect_usd` or `accept_any_price`.
        """
        planned = await self._executor.request(
            principal,
            run or None,
            body.settings,
            expect_usd=body.expect_usd,
            accepts_any_price=body.accept_any_price,
        )
        return PlannedComparisonSchema.from_plan(planned, comparison=planned.comparison.id)

    async def plan(
        self, principal: CurrentPrincipal, body: ComparisonOptions, run: RunNameParameter = ""
    ) -> PlannedComparisonSchema:
        """Plan a comparison and calculate its highest possible price. Stores nothing and asks no model."""
        return PlannedComparisonSchema.from_plan(await self._executor.plan(run or None, body.settings))

    async def stop(self, principal: CurrentPrincipal, comparison: ComparisonIdParameter) -> StoppedComparisonSchema:
        """Stop a comparison. The answers so far are kept; there is no verdict."""
        return StoppedComparisonSchema(comparison=(await self._executor.stop(principal, comparison)).id)
