"""Routes of the dashboard pages and of the actions performed on them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final, assert_never

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from orchestrator import status
from orchestrator.core.deployment.deployment_filter import DeploymentFilter
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.operator_action import ACTION_INFO, ActionScope
from orchestrator.core.notifications.delivery import DeliveryStatus
from orchestrator.core.structs import replace
from orchestrator.exports import ExportFormat
from orchestrator.web.action_executor import ActionExecutor
from orchestrator.web.api.model_export import MAX_EXPORTED_ACCOUNTS, export_response
from orchestrator.web.auth.middleware import read_only_problem
from orchestrator.web.auth.principal import CurrentPrincipal, Principal
from orchestrator.web.backend import WebBackend
from orchestrator.web.dashboard import (
    account_page,
    confirm_dialog,
    costs_page,
    curves_page,
    deliveries_page,
    history_pages,
    overview_page,
    plan_page,
    run_page,
    timeline_page,
)
from orchestrator.web.dashboard.confirm_dialog import ActionRequest, build_confirm_href
from orchestrator.web.dashboard.deployments.deployment_dialog import build_deployment_href
from orchestrator.web.dashboard.page_query import ROWS_PER_PAGE, PageQuery, count_pages, reject_nul
from orchestrator.web.dashboard.run_choice import (
    OVERVIEW_PATH,
    RunChoiceLoader,
    get_page_query,
    get_run_choice,
)
from orchestrator.web.headers import build_etag, not_modified_response
from orchestrator.web.help_topics import HELP_PATH, HELP_SECTIONS
from orchestrator.web.page_renderer import ASSETS_FINGERPRINT, render_page
from orchestrator.web.problem import ProblemError


class DashboardRoutes:
    """Serves whole pages. The script polls the same URL, replaces the live part, and gets 304 if nothing changed."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self._call = backend.call_with_database
        self._executor = ActionExecutor(backend)
        self.router = APIRouter(
            include_in_schema=False, dependencies=[Depends(reject_nul), Depends(RunChoiceLoader(backend))]
        )
        pages: dict[str, Callable[..., Awaitable[Response]]] = {
            "/": self.render_run,
            OVERVIEW_PATH: self.render_overview,
            "/plan": self.render_plan,
            "/timeline": self.render_timeline,
            "/costs": self.render_costs,
            "/curves": self.render_curves,
            "/curves.json": self.get_chart_data,
            "/runs": self.render_runs,
            "/deliveries": self.render_deliveries,
            "/dataset": self.redirect_to_current_dataset,
            "/accounts/{name}": self.render_account,
            "/export": self.export_models,
            HELP_PATH: self.render_help,
            "/confirm": self.render_confirm_dialog,
        }
        for path, page in pages.items():
            self.router.add_api_route(path, page, methods=["GET"])
        self.router.add_api_route("/act", self.perform_action, methods=["POST"])

    async def render_run(self, request: Request) -> Response:
        """Render the page of a run. With several current runs, the bare address leads to their overview."""
        if get_run_choice(request).links and not request.url.query:
            return RedirectResponse(OVERVIEW_PATH, 303)
        overview, listing, query = await self._get_run_and_jobs(request)
        deliveries = await self._call(status.count_deliveries)
        view = run_page.build_run_page(
            overview,
            listing,
            await self._backend.check_health(),
            query,
            self._backend.now(),
            failed_deliveries=deliveries[DeliveryStatus.FAILED],
            accounts=self._backend.get_accounts(),
        )
        return build_page_response(request, "run.html", view)

    async def render_overview(self, request: Request) -> Response:
        query = replace(PageQuery.from_parameters(request.query_params), run="")
        matrix = await self._get_matrix(query)
        if query.page > count_pages(matrix.total):
            query = replace(query, page=count_pages(matrix.total))
            matrix = await self._get_matrix(query)
        found = [
            await self._call(status.find_run_overview, self._backend.now(), run_id=run) for run in matrix.run_ids
        ]
        deliveries = await self._call(status.count_deliveries)
        view = overview_page.build_overview_page(
            [each for each in found if each is not None],
            matrix,
            await self._backend.check_health(),
            query,
            self._backend.now(),
            failed_deliveries=deliveries[DeliveryStatus.FAILED],
        )
        return build_page_response(request, "overview.html", view)

    async def _get_matrix(self, query: PageQuery) -> status.RunMatrix:
        return await self._call(
            status.get_run_matrix,
            query.job_filter,
            self._backend.now(),
            limit=ROWS_PER_PAGE,
            skip=(query.page - 1) * ROWS_PER_PAGE,
        )

    async def render_plan(self, request: Request) -> Response:
        overview, listing, query = await self._get_run_and_jobs(request)
        return build_page_response(
            request,
            "plan.html",
            plan_page.build_plan_page(overview, listing, await self._backend.check_health(), query),
        )

    async def render_timeline(self, request: Request) -> Response:
        query = get_page_query(request)
        order = timeline_page.parse_order(request.query_params.get("sort", ""))
        timeline = await self._call(
            status.find_timeline,
            query.job_filter,
            self._backend.now(),
            run_id=query.run or None,
            limit=timeline_page.MAX_BARS,
            order=order,
        )
        return build_page_response(
            request, "timeline.html", timeline_page.build_timeline_page(timeline, query, order)
        )

    async def render_costs(self, request: Request) -> Response:
        run = get_page_query(request).run
        found = await self._call(status.find_costs, self._backend.find_price, run_id=run or None)
        return build_page_response(request, "costs.html", costs_page.build_costs_page(found))

    async def render_curves(self, request: Request) -> Response:
        query = get_page_query(request)
        view = curves_page.build_curves_page(await self._find_loss_overview(query), query)
        return build_page_response(request, "curves.html", view)

    async def get_chart_data(self, request: Request) -> Response:
        """Return the points of the loss chart as JSON: of one account, of a few, or the summary of many."""
        query, account = get_page_query(request), request.query_params.get("account", "")
        overview = None if account else await self._find_loss_overview(query)
        if overview and curves_page.shows_summary(overview):
            data = curves_page.build_summary_data(overview)
        else:
            job_filter = JobFilter(accounts=(account,)) if account else query.job_filter
            curves = await self._call(
                status.get_loss_curves,
                job_filter,
                self._backend.now(),
                run_id=query.run or None,
                limit=curves_page.MAX_SINGLE_CURVES,
            )
            data = curves_page.build_chart_data(curves)
        return JSONResponse(data, headers={"Cache-Control": "no-store"})

    async def export_models(self, request: Request) -> Response:
        """Return the model ids of all accounts that match the filter as a file."""
        name = request.query_params.get("format", "")
        if name not in set(ExportFormat):
            raise ProblemError(404, f"There is no export format {name}.", f"Choose {', '.join(ExportFormat)}.")
        query = get_page_query(request)
        listing = await self._list_jobs(query, limit=MAX_EXPORTED_ACCOUNTS)
        if listing is None:
            raise ProblemError(404, f"There is no run {query.run or 'yet'}.", "`/runs` lists the runs.")
        return export_response(self._backend, [listing], ExportFormat(name), as_file=True)

    async def render_runs(self, request: Request) -> Response:
        return build_page_response(
            request,
            "runs.html",
            history_pages.build_run_list_page(await self._call(status.list_runs, self._backend.now())),
        )

    async def render_help(self, request: Request) -> Response:
        """Render the explanations of all terms of the dashboard."""
        return build_page_response(request, "help.html", HELP_SECTIONS)

    async def render_deliveries(self, request: Request) -> Response:
        """Render the requested page of the list, or the last one if the number is too large."""
        query, counts = PageQuery.from_parameters(request.query_params), await self._call(status.count_deliveries)
        delivery_status = deliveries_page.find_status_filter(query)
        query = replace(
            query, page=min(query.page, count_pages(deliveries_page.count_matches(counts, delivery_status)))
        )
        skip = (query.page - 1) * ROWS_PER_PAGE
        deliveries = await self._call(status.list_deliveries, delivery_status, limit=ROWS_PER_PAGE, skip=skip)
        return build_page_response(
            request,
            "deliveries.html",
            deliveries_page.build_deliveries_page(counts, deliveries, query, self._backend.now()),
        )

    async def redirect_to_current_dataset(self, request: Request) -> Response:
        """Redirect to the dataset of the current run, of several that of the selected one."""
        run = get_page_query(request).run
        overview = await self._call(status.find_run_overview, self._backend.now(), run_id=run or None)
        return RedirectResponse(f"/datasets/{overview.run.dataset_sha256}" if overview else "/", 303)

    async def render_account(self, request: Request, name: str) -> Response:
        account = await self._call(status.find_account, name, self._backend.now())
        if account is None:
            raise ProblemError(404, f"There is no account {name}.", "The start page lists the accounts.")
        run = get_page_query(request).run
        account = account_page.select_run(account, run)
        curve = await self._call(status.list_job_losses, account.jobs[0].job.job) if account.jobs else ()
        return build_page_response(
            request,
            "account.html",
            account_page.build_account_page(
                account,
                self._backend.now(),
                has_curve=bool(curve),
                find_price=self._backend.find_price,
                listed=self._backend.get_accounts().get(name),
                run=run,
                deployments=(await self._list_deployments(name)).deployments,
            ),
        )

    async def _list_deployments(self, account: str) -> status.DeploymentListing:
        wanted = DeploymentFilter(accounts=(account,))
        return await self._call(status.list_deployments, wanted, self._backend.now())

    async def render_confirm_dialog(self, request: Request, principal: CurrentPrincipal) -> Response:
        if not principal.may_act:
            raise ProblemError(403, *read_only_problem(principal))
        return build_page_response(
            request, "confirm.html", await self._build_dialog(ActionRequest.parse(request.url.query))
        )

    async def perform_action(self, request: Request, principal: CurrentPrincipal) -> Response:
        """Perform the action if it still matches what was confirmed; otherwise show the dialog again."""
        action_request = ActionRequest.parse((await request.body()).decode("utf-8", "replace"))
        try:
            message = confirm_dialog.format_result(action_request, await self._perform(action_request, principal))
        except ProblemError as error:
            return build_page_response(
                request,
                "confirm.html",
                (await self._build_dialog(action_request)).with_problem(error),
                status_code=error.status,
            )
        if "HX-Request" in request.headers:
            return Response(
                status_code=204, headers={"HX-Trigger": json.dumps({"actionPerformed": {"message": message}})}
            )
        return RedirectResponse(action_request.back, 303)

    async def _perform(self, request: ActionRequest, principal: Principal) -> int:
        """Perform the action; return the number of accounts or deliveries that it changed."""
        action = request.action
        request.require_selection()
        match ACTION_INFO[action].scope:
            case ActionScope.RUN:
                await self._executor.apply_to_run(
                    action, principal, run=request.run, reason=request.reason, confirmed=request.confirmation
                )
                return 0
            case ActionScope.ACCOUNTS:
                accounts = await self._executor.apply_to_matching(
                    action,
                    principal,
                    request.job_filter,
                    run=request.run,
                    expect=request.expect,
                    reason=request.reason,
                    confirmed=request.confirmation,
                )
                return len(accounts)
            case ActionScope.MODELS:
                return len(
                    await self._executor.apply_to_models(
                        action, principal, request.accounts, run=request.run, reason=request.reason
                    )
                )
            case ActionScope.JOB:
                await self._executor.adopt_remote_job(principal, request.job, request.remote_job)
                return 1
            case ActionScope.DELIVERIES:
                return len(
                    await self._executor.redeliver(principal, request.selected_deliveries, expect=request.expect)
                )
            case scope:
                assert_never(scope)

    async def _build_dialog(self, request: ActionRequest) -> confirm_dialog.ConfirmDialog:
        if request.lacks_selection:
            return confirm_dialog.build_unselected_dialog(request)
        match ACTION_INFO[request.action].scope:
            case ActionScope.RUN:
                overview = await self._call(status.find_run_overview, self._backend.now(), run_id=request.run)
                return confirm_dialog.build_run_dialog(request, overview)
            case ActionScope.ACCOUNTS:
                preview = await self._executor.preview(request.action, request.job_filter, run=request.run)
                return confirm_dialog.build_accounts_dialog(request, preview)
            case ActionScope.MODELS:
                return confirm_dialog.build_models_dialog(request)
            case ActionScope.JOB:
                return confirm_dialog.build_adoption_dialog(request)
            case ActionScope.DELIVERIES:
                failed = await self._executor.count_dead_deliveries(request.selected_deliveries)
                return confirm_dialog.build_redelivery_dialog(request, failed)
            case scope:
                assert_never(scope)

    async def _get_run_and_jobs(
        self, request: Request
    ) -> tuple[status.RunOverview | None, status.JobListing | None, PageQuery]:
        """Return the run, the requested page of its jobs or the last one, and the query with the actual page."""
        query = get_page_query(request)
        overview = await self._call(status.find_run_overview, self._backend.now(), run_id=query.run or None)
        if overview is None and query.run:
            raise ProblemError(404, f"There is no run {query.run}.", "`/runs` lists the runs.")
        listing = await self._get_job_page(query, overview)
        if listing is not None and query.page > count_pages(listing.total):
            query = replace(query, page=count_pages(listing.total))
            listing = await self._get_job_page(query, overview)
        return overview, listing, query

    async def _get_job_page(self, query: PageQuery, overview: status.RunOverview | None) -> status.JobListing | None:
        """Return the page of jobs of this run, whatever the current run is by now."""
        if overview is None:
            return None
        query, skip = replace(query, run=overview.run.id), (query.page - 1) * ROWS_PER_PAGE
        if query.is_narrowing:
            return await self._list_jobs(query, limit=ROWS_PER_PAGE, skip=skip)
        listing = await self._list_jobs(query, limit=ROWS_PER_PAGE, skip=skip, with_counts=False)
        return replace(listing, counts=overview.counts, total=overview.total) if listing else None

    async def _list_jobs(self, query: PageQuery, **options: Any) -> status.JobListing | None:
        now, run = self._backend.now(), query.run or None
        return await self._call(status.list_jobs, query.job_filter, now, run_id=run, order=query.order, **options)

    async def _find_loss_overview(self, query: PageQuery) -> status.LossOverview | None:
        return await self._call(
            status.find_loss_overview,
            query.job_filter,
            self._backend.now(),
            run_id=query.run or None,
            limit=curves_page.MAX_SUMMARISED_CURVES,
        )


_PAGE_CACHE_CONTROL: Final = "no-store"  # after a logout the browser's back button must not show a page


def build_page_response(
    request: Request, template: str, view: Any, *, status_code: int = 200, **values: Any
) -> Response:
    """Render a page, or answer 304. The client is part of the entity tag: only operators see the buttons."""
    client, choice = (request.state.principal, request.state.csrf), get_run_choice(request)
    tag = build_etag(f"{ASSETS_FINGERPRINT} {client} {choice!r} {view!r}".encode())
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return not_modified_response(request, tag, _PAGE_CACHE_CONTROL) or render_page(
        request,
        template,
        status=status_code,
        headers={"ETag": tag},
        view=view,
        tag=tag,
        here=here,
        choice=choice,
        confirm_href=build_confirm_href,
        deployment_href=build_deployment_href,
        **values,
    )
