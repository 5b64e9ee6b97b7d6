"""API routes of deployments: list, plan, deploy, undeploy, approve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from orchestrator import status
from orchestrator.control import DeploymentSelection, DeploymentTarget
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.deployment_filter import DeploymentFilter
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.web.api import API_PREFIX
from orchestrator.web.api.actions import RunNameParameter
from orchestrator.web.api.resources import AfterParameter, LimitParameter, ProviderParameter
from orchestrator.web.api.schemas.deployments import (
    DeploymentActionResult,
    DeploymentOptions,
    DeploymentPageSchema,
    DeploymentPlanSchema,
    DeploymentRequest,
    DeploymentSchema,
    DeploymentSelectionRequest,
    DeploymentTotalsSchema,
)
from orchestrator.web.api.schemas.jobs_and_runs import ShortText
from orchestrator.web.auth.principal import CurrentPrincipal
from orchestrator.web.backend import WebBackend
from orchestrator.web.deployment_executor import DeploymentExecutor, require_selection


class DeploymentRoutes:
    """Routes under `/api/v1/deployments`."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self._executor = DeploymentExecutor(backend)
        self.router = APIRouter(prefix=f"{API_PREFIX}/deployments", tags=["deployments"])
        add = self.router.add_api_route
        add("", self.list_deployments, methods=["GET"], operation_id="list_deployments")
        add("/plan", self.plan, methods=["POST"], operation_id="plan_deployments")
        add("/deploy", self.deploy, methods=["POST"], operation_id="deploy")
        add("/undeploy", self.undeploy, methods=["POST"], operation_id="undeploy")
        add("/approve", self.approve, methods=["POST"], operation_id="approve_deployments")

    async def list_deployments(
        self,
        account: Annotated[ShortText, Query(description="Only deployments of this account.")] = "",
        state: Annotated[DeploymentState | None, Query(description="Only deployments in this state.")] = None,
        provider: ProviderParameter = None,
        run: Annotated[ShortText, Query(description="Only deployments of this run (name or id).")] = "",
        ended: Annotated[bool, Query(description="Include deployments that have ended.")] = False,
        limit: LimitParameter = 100,
        after: AfterParameter = "",
    ) -> DeploymentPageSchema:
        """List deployments, sorted by account name, with what all deployments cost."""
        wanted = DeploymentFilter(
            accounts=(account,) if account else (),
            state=state or "",
            provider=provider or "",
            run=run,
            with_ended=ended,
        )
        listing = await self._backend.call_with_database(
            status.list_deployments, wanted, self._backend.now(), limit=limit, after=after
        )
        return DeploymentPageSchema(
            deployments=[DeploymentSchema.from_view(view) for view in listing.deployments],
            total=listing.total,
            counts=listing.counts,
            totals=DeploymentTotalsSchema.from_view(listing.totals),
            next=listing.next,
        )

    async def plan(
        self, principal: CurrentPrincipal, body: DeploymentOptions, run: RunNameParameter = ""
    ) -> DeploymentPlanSchema:
        """Plan deployments of finished models and calculate their price. Stores nothing."""
        return DeploymentPlanSchema.from_plan(await self._executor.plan(_build_selection(body, run)))

    async def deploy(
        self, principal: CurrentPrincipal, body: DeploymentRequest, run: RunNameParameter = ""
    ) -> DeploymentActionResult:
        """Deploy finished models, so that they can be called, at a confirmed price.

        One with an unknown price is recorded and held until it is approved.
        """
        selection = _build_selection(body, run)
        return _build_result(await self._executor.deploy(principal, selection, expect_usd=body.expect_usd))

    async def undeploy(self, principal: CurrentPrincipal, body: DeploymentSelectionRequest) -> DeploymentActionResult:
        """Stop deployments, so that they are no longer billed. The fine-tuned models are kept."""
        return _build_result(await self._executor.undeploy(principal, _build_target(body), expect=body.expect))

    async def approve(self, principal: CurrentPrincipal, body: DeploymentSelectionRequest) -> DeploymentActionResult:
        """Approve deployments that are held because of their price."""
        return _build_result(await self._executor.approve(principal, _build_target(body), expect=body.expect))


def _build_selection(body: DeploymentOptions, run: str) -> DeploymentSelection:
    return DeploymentSelection(
        accounts=require_selection(body.accounts, everything=body.all, what="accounts"),
        run=run or None,
        checkpoint=body.checkpoint or None,
        options=body.spec_options,
        usd_per_hour=body.usd_per_hour,
    )


def _build_target(body: DeploymentSelectionRequest) -> DeploymentTarget:
    names = [*(body.accounts or ()), *(body.deployments or ())]
    require_selection(names, everything=body.all, what="deployments")
    return DeploymentTarget(accounts=body.accounts or None, ids=body.deployments or None)


def _build_result(changed: Sequence[Deployment]) -> DeploymentActionResult:
    return DeploymentActionResult(
        deployments=[deployment.id for deployment in changed],
        accounts=[deployment.account for deployment in changed],
        count=len(changed),
    )
