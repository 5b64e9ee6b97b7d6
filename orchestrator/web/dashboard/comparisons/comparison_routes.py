"""Routes of the pages about comparisons."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from orchestrator import status
from orchestrator.core.comparison.comparison import Comparison
from orchestrator.status import RunComparisons
from orchestrator.web.backend import WebBackend
from orchestrator.web.dashboard.comparisons import answers_page, comparison_page, report, result_view
from orchestrator.web.dashboard.comparisons.comparison_dialog import build_comparison_href
from orchestrator.web.dashboard.comparisons.comparison_page import ComparisonQuery
from orchestrator.web.dashboard.comparisons.result_view import ANSWERS_PATH, COMPARISON_PATH, ResultView
from orchestrator.web.dashboard.page_query import reject_nul
from orchestrator.web.dashboard.routes import build_page_response
from orchestrator.web.dashboard.run_choice import RunChoiceLoader, get_page_query
from orchestrator.web.headers import NO_STORE
from orchestrator.web.problem import ProblemError

MAX_KEPT_RESULTS: Final = 4


class ResultViewCache:
    """The views of the last results: the page is polled, and a view of 100 accounts takes 0.2 s to build."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self._views: dict[tuple[str | None, ...], ResultView] = {}

    async def get(self, comparison: Comparison | None, run_name: str) -> ResultView | None:
        """Return the view of the comparison; None if it has no result."""
        if comparison is None or comparison.result is None:
            return None
        # An operator may accept a model, or revoke that, after the end of the comparison.
        key = (comparison.id, run_name, *(each["accepted_by"] for each in comparison.result["accounts"]))
        if (known := self._views.get(key)) is not None:
            return known
        probes = await self._backend.find_probes(comparison)
        view = await asyncio.to_thread(result_view.build_result_view, comparison, run_name, probes)
        if len(probes) == len(comparison.probe_ids):
            while len(self._views) >= MAX_KEPT_RESULTS:
                self._views.pop(next(iter(self._views)))
            self._views[key] = view
        return view


class ComparisonPageRoutes:
    """Serves the pages."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self._call = backend.call_with_database
        self._results = ResultViewCache(backend)
        self.router = APIRouter(
            include_in_schema=False, dependencies=[Depends(reject_nul), Depends(RunChoiceLoader(backend))]
        )
        self.router.add_api_route(COMPARISON_PATH, self.render_comparison, methods=["GET"])
        self.router.add_api_route(f"{COMPARISON_PATH}/report", self.download_report, methods=["GET"])
        self.router.add_api_route(ANSWERS_PATH, self.render_answers, methods=["GET"])

    async def render_comparison(self, request: Request) -> Response:
        """Render the verdicts of the latest finished comparison, or of the one that the URL names."""
        query = ComparisonQuery.from_parameters(request.query_params, get_page_query(request).run)
        found = await self._find(query)
        result = await self._results.get(found.shown, found.run_name) if found else None
        view = comparison_page.build_comparison_page(found, result, query, self._backend.now())
        return build_page_response(request, "comparison.html", view, comparison_href=build_comparison_href)

    async def render_answers(self, request: Request) -> Response:
        """Render the list of probes, or the answers of all models to one probe."""
        query = ComparisonQuery.from_parameters(request.query_params, get_page_query(request).run)
        found = await self._find(query)
        shown = (found.shown or (found.asking.comparison if found.asking else None)) if found else None
        if found is None or shown is None:
            raise ProblemError(404, "There are no answers yet.", "`orchestrator compare` compares the models.")
        probes = await self._backend.find_probes(shown)
        summaries = await self._call(status.list_probe_summaries, shown.id)
        probe_id = request.query_params.get("probe", "")
        if not probe_id:
            page = answers_page.build_probe_list(shown, found.run_name, probes, summaries)
            return build_page_response(request, "answers.html", page)
        if probe_id not in shown.probe_ids:
            raise ProblemError(404, f"There is no probe {probe_id}.", "The page of the comparison lists its probes.")
        page = answers_page.build_answers_page(
            shown,
            found.run_name,
            probe_id,
            probes.get(probe_id),
            await self._call(status.list_comparison_answers, shown.id, [probe_id]),
            [each.probe_id for each in answers_page.sort_probes(summaries)],
            request.query_params.get("account", ""),
        )
        return build_page_response(request, "answers.html", page)

    async def download_report(self, request: Request) -> Response:
        """Return the report of a finished comparison as a file."""
        found = await self._find(ComparisonQuery.from_parameters(request.query_params, get_page_query(request).run))
        shown = found.shown if found else None
        if found is None or shown is None or shown.result is None:
            raise ProblemError(404, "There is no finished comparison.", "The page of the comparison shows its state.")
        answers = await self._call(status.list_comparison_answers, shown.id, report.list_reported_probes(shown))
        probes = await self._backend.find_probes(shown)
        text = await asyncio.to_thread(
            report.render_report, shown, found.run_name, probes, answers, self._backend.now()
        )
        name = report.build_report_name(shown, found.run_name)
        headers = {"Content-Disposition": f'attachment; filename="{name}"', **NO_STORE}
        return Response(text, media_type="text/html; charset=utf-8", headers=headers)

    async def _find(self, query: ComparisonQuery) -> RunComparisons | None:
        found = await self._call(
            status.find_run_comparisons, run_id=query.run or None, comparison_id=query.id or None
        )
        if found is None and query.id:
            raise ProblemError(404, f"There is no comparison {query.id}.", "The page of the run lists them.")
        if found is None and query.run:
            raise ProblemError(404, f"There is no run {query.run}.", "`/runs` lists the runs.")
        return found
