"""Routes of the page of deployments and of its confirmation dialog."""

from __future__ import annotations

import json
from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator import status
from orchestrator.core.deployment.deployment_filter import DeploymentFilter
from orchestrator.core.structs import replace
from orchestrator.core.text import format_count
from orchestrator.web.api.model_export import MAX_EXPORTED_ACCOUNTS
from orchestrator.web.auth.middleware import read_only_problem
from orchestrator.web.auth.principal import CurrentPrincipal, Principal
from orchestrator.web.backend import WebBackend
from orchestrator.web.dashboard.deployments import deployment_dialog, deployments_page
from orchestrator.web.dashboard.deployments.deployment_dialog import (
    CONFIRM_PATH,
    DeploymentAction,
    DeploymentActionRequest,
    DeploymentDialog,
)
from orchestrator.web.dashboard.page_query import ROWS_PER_PAGE, PageQuery, count_pages, reject_nul
from orchestrator.web.dashboard.routes import build_page_response
from orchestrator.web.dashboard.run_choice import RunChoiceLoader
from orchestrator.web.deployment_executor import DeploymentExecutor
from orchestrator.web.problem import ProblemError

_NOTHING_SELECTED = (422, "Nothing is selected.", "Select accounts or deployments, or select all explicitly.")
_ACCEPTED = {
    DeploymentAction.DEPLOY: "Deploying {target}",
    DeploymentAction.UNDEPLOY: "Stopping {target}",
    DeploymentAction.APPROVE: "Approved {target}",
}


class DeploymentPageRoutes:
    """Serves the page of deployments."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self._executor = DeploymentExecutor(backend)
        self.router = APIRouter(
            include_in_schema=False, dependencies=[Depends(reject_nul), Depends(RunChoiceLoader(backend))]
        )
        path = deployments_page.DEPLOYMENTS_PATH
        self.router.add_api_route(path, self.render_deployments, methods=["GET"])
        self.router.add_api_route(CONFIRM_PATH, self.render_dialog, methods=["GET"])
        self.router.add_api_route(f"{path}/act", self.perform, methods=["POST"])

    async def render_deployments(self, request: Request) -> Response:
        """Render the requested page of the list, or the last one if the number is too large."""
        call, now = self._backend.call_with_database, self._backend.now()
        query = replace(PageQuery.from_parameters(request.query_params), run="")
        wanted = deployments_page.build_filter(query)
        matches = sum((await call(status.count_deployments, wanted)).values())
        query = replace(query, page=min(query.page, count_pages(matches)))
        skip = (query.page - 1) * ROWS_PER_PAGE
        listing = await call(status.list_deployments, wanted, now, limit=ROWS_PER_PAGE, skip=skip)
        counts = await call(status.count_deployments, DeploymentFilter(with_ended=True))
        view = deployments_page.build_deployments_page(listing, counts, query, now)
        return build_page_response(request, "deployments.html", view)

    async def render_dialog(self, request: Request, principal: CurrentPrincipal) -> Response:
        if not principal.may_act:
            raise ProblemError(403, *read_only_problem(principal))
        dialog = await self._build_dialog(DeploymentActionRequest.parse(request.url.query))
        return build_page_response(request, "confirm_deployment.html", dialog)

    async def perform(self, request: Request, principal: CurrentPrincipal) -> Response:
        """Perform the action if it still matches what was confirmed; otherwise show the dialog again."""
        action_request = DeploymentActionRequest.parse((await request.body()).decode("utf-8", "replace"))
        try:
            count = await self._perform(action_request, principal)
        except ProblemError as error:
            dialog = (await self._build_dialog(action_request)).with_problem(error)
            return build_page_response(request, "confirm_deployment.html", dialog, status_code=error.status)
        message = _ACCEPTED[action_request.action].format(target=format_count(count, "deployment"))
        if "HX-Request" in request.headers:
            return Response(
                status_code=204, headers={"HX-Trigger": json.dumps({"actionPerformed": {"message": message}})}
            )
        return RedirectResponse(action_request.back, 303)

    async def _perform(self, request: DeploymentActionRequest, principal: Principal) -> int:
        """Perform the action; return the number of deployments that it changed."""
        if request.lacks_selection:
            raise ProblemError(*_NOTHING_SELECTED)
        if request.action is DeploymentAction.DEPLOY:
            if request.expect_usd is None:
                raise ProblemError(409, "The price was not calculated.", "Calculate the price, then confirm it.")
            selection = request.build_selection(await self._list_accounts(request))
            return len(await self._executor.deploy(principal, selection, expect_usd=request.expect_usd))
        if request.action is DeploymentAction.UNDEPLOY:
            return len(await self._executor.undeploy(principal, request.target, expect=request.expect))
        return len(
            await self._executor.approve(
                principal, request.target, expect=request.expect, shown_reasons=request.shown_reasons
            )
        )

    async def _build_dialog(self, request: DeploymentActionRequest) -> DeploymentDialog:
        if request.lacks_selection:
            return deployment_dialog.build_unselected_dialog(request)
        if request.action is DeploymentAction.DEPLOY:
            try:
                selection = request.build_selection(await self._list_accounts(request))
                plan = await self._executor.plan(selection)
            except ProblemError as error:
                return deployment_dialog.build_options_dialog(request, error)
            return deployment_dialog.build_deploy_dialog(request, plan)
        try:
            deployments = await self._executor.preview(request.target)
        except ProblemError as error:
            return deployment_dialog.build_unselected_dialog(request).with_problem(error)
        if request.action is DeploymentAction.UNDEPLOY:
            return deployment_dialog.build_undeploy_dialog(request, deployments, self._backend.now())
        return deployment_dialog.build_approval_dialog(request, deployments)

    async def _list_accounts(self, request: DeploymentActionRequest) -> Sequence[str] | None:
        """Return the selected accounts: by name, or those that match the filter of the page; None: all of the run."""
        if not request.selects_all:
            return request.accounts
        if not request.query.is_narrowing:
            return None
        listing = await self._backend.call_with_database(
            status.list_jobs,
            request.query.job_filter,
            self._backend.now(),
            run_id=request.query.run or None,
            limit=MAX_EXPORTED_ACCOUNTS,
        )
        return tuple(job.account for job in listing.jobs) if listing else ()
