"""Routes by which an operator starts and stops comparisons, and asks models a question, on the dashboard."""

from __future__ import annotations

import json

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator import status
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.web.auth.middleware import read_only_problem
from orchestrator.web.auth.principal import CurrentPrincipal, Principal
from orchestrator.web.backend import WebBackend
from orchestrator.web.comparison_executor import ComparisonExecutor
from orchestrator.web.dashboard.comparisons import comparison_dialog, question_page
from orchestrator.web.dashboard.comparisons.comparison_dialog import (
    CONFIRM_PATH,
    ComparisonAction,
    ComparisonActionRequest,
    ComparisonDialog,
)
from orchestrator.web.dashboard.comparisons.question_page import QUESTION_PATH, QuestionForm, QuestionPage
from orchestrator.web.dashboard.comparisons.result_view import COMPARISON_PATH
from orchestrator.web.dashboard.page_query import reject_nul
from orchestrator.web.dashboard.routes import build_page_response
from orchestrator.web.dashboard.run_choice import RunChoiceLoader, get_page_query
from orchestrator.web.problem import ProblemError

_ACCEPTED = {
    ComparisonAction.START: "The comparison begins within seconds",
    ComparisonAction.STOP: "The comparison was stopped",
}


class ComparisonActionRoutes:
    """Serves the dialog and the page of questions. Readers see neither."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self._executor = ComparisonExecutor(backend)
        self.router = APIRouter(
            include_in_schema=False, dependencies=[Depends(reject_nul), Depends(RunChoiceLoader(backend))]
        )
        add = self.router.add_api_route
        add(CONFIRM_PATH, self.render_dialog, methods=["GET"])
        add(f"{COMPARISON_PATH}/act", self.perform, methods=["POST"])
        add(QUESTION_PATH, self.render_question, methods=["GET"])
        add(QUESTION_PATH, self.ask_models, methods=["POST"])

    async def render_dialog(self, request: Request, principal: CurrentPrincipal) -> Response:
        _require_operator(principal)
        dialog = await self._build_dialog(ComparisonActionRequest.parse(request.url.query))
        return build_page_response(request, "confirm_comparison.html", dialog)

    async def perform(self, request: Request, principal: CurrentPrincipal) -> Response:
        """Perform the action at the confirmed price; otherwise show the dialog again."""
        action_request = ComparisonActionRequest.parse((await request.body()).decode("utf-8", "replace"))
        try:
            await self._perform(action_request, principal)
        except ProblemError as error:
            dialog = (await self._build_dialog(action_request)).with_problem(error)
            return build_page_response(request, "confirm_comparison.html", dialog, status_code=error.status)
        if "HX-Request" in request.headers:
            trigger = {"actionPerformed": {"message": _ACCEPTED[action_request.action]}}
            return Response(status_code=204, headers={"HX-Trigger": json.dumps(trigger)})
        return RedirectResponse(action_request.back, 303)

    async def _perform(self, request: ComparisonActionRequest, principal: Principal) -> None:
        if request.action is ComparisonAction.STOP:
            await self._executor.stop(principal, request.comparison_id)
            return
        if request.expect_usd is None and not request.accepts_unknown_price:
            raise ProblemError(409, "The price was not calculated.", "Calculate the price, then confirm it.")
        await self._executor.request(
            principal,
            request.run or None,
            request.build_options(),
            expect_usd=request.expect_usd,
            expects_unknown_price=request.accepts_unknown_price,
        )

    async def _build_dialog(self, request: ComparisonActionRequest) -> ComparisonDialog:
        if request.action is ComparisonAction.STOP:
            found = await self._backend.call_with_database(status.find_comparison, request.comparison_id)
            return comparison_dialog.build_stop_dialog(request, found)
        try:
            planned = await self._executor.plan(request.run or None, request.build_options())
        except ProblemError as error:
            return comparison_dialog.build_unplanned_dialog(request, error)
        return comparison_dialog.build_start_dialog(request, planned)

    async def render_question(self, request: Request, principal: CurrentPrincipal) -> Response:
        _require_operator(principal)
        form = QuestionForm(run=get_page_query(request).run)
        return build_page_response(request, "question.html", await self._build_question_page(form))

    async def ask_models(self, request: Request, principal: CurrentPrincipal) -> Response:
        """Ask the models and show their replies. Nothing is stored but an entry of the history."""
        form = QuestionForm.parse((await request.body()).decode("utf-8", "replace"))
        page, ask_models = await self._build_question_page(form), self._backend.ask_models
        try:
            if ask_models is None:
                raise ProblemError(409, "This process calls no models.", "Use the dashboard of `orchestrator serve`.")
            question, accounts, max_usd = form.build_question()
            replies = await ask_models(form.run or None, accounts, question, max_usd, principal.actor)
        except question_page.QUESTION_ERRORS as error:
            problem = question_page.to_problem(error)
            view = page.with_problem(problem)
            return build_page_response(request, "question.html", view, status_code=problem.status)
        return build_page_response(request, "question.html", page.with_replies(replies))

    async def _build_question_page(self, form: QuestionForm) -> QuestionPage:
        listing = await self._backend.call_with_database(
            status.list_jobs,
            JobFilter(state=JobState.SUCCEEDED),
            self._backend.now(),
            run_id=form.run or None,
            limit=question_page.MAX_LISTED_ACCOUNTS,
        )
        if listing is None and form.run:
            raise ProblemError(404, f"There is no run {form.run}.", "`/runs` lists the runs.")
        return question_page.build_question_page(form, [job.account for job in listing.jobs] if listing else [])


def _require_operator(principal: Principal) -> None:
    if not principal.may_act:
        raise ProblemError(403, *read_only_problem(principal))
