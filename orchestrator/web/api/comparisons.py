"""API routes that list and return comparisons and the answers of their models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.convertors import StringConvertor, register_url_convertor

from orchestrator import status
from orchestrator.web.api import API_PREFIX
from orchestrator.web.api.comparison_requests import ComparisonIdParameter
from orchestrator.web.api.resources import AfterParameter, LimitParameter, RunParameter, require_found
from orchestrator.web.api.schemas.comparisons import (
    AnswerPageSchema,
    AnswerSchema,
    ComparisonLineSchema,
    ComparisonListSchema,
    ComparisonSchema,
)
from orchestrator.web.api.schemas.jobs_and_runs import ShortText
from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import ProblemError

_LIST_PATH = "/api/v1/comparisons"
ProbeParameter = Annotated[ShortText, Query(description="Only answers to this probe (id).")]
ModelParameter = Annotated[ShortText, Query(description="Only answers of this model: `name` in the comparison.")]


class ComparisonIdConvertor(StringConvertor):
    """Matches comparison ids in paths. `/comparisons/plan` is a path of its own, which has no GET."""

    regex = r"(?!plan$)[^/]+"


register_url_convertor("comparison_id", ComparisonIdConvertor())


class ComparisonRoutes:
    """Routes under `/api/v1/comparisons` that change nothing."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self.router = APIRouter(prefix=f"{API_PREFIX}/comparisons", tags=["comparisons"])
        add = self.router.add_api_route
        add("", self.list_comparisons, methods=["GET"], operation_id="list_comparisons")
        add("/{comparison:comparison_id}", self.get_comparison, methods=["GET"], operation_id="get_comparison")
        add("/{comparison}/answers", self.list_answers, methods=["GET"], operation_id="list_comparison_answers")

    async def list_comparisons(self, run: RunParameter = "") -> ComparisonListSchema:
        """List the latest comparisons of a run, newest first."""
        found = await self._backend.call_with_database(status.find_run_comparisons, run_id=run or None)
        if run:
            found = require_found(found, f"run {run}", "/api/v1/runs")
        if found is None:
            return ComparisonListSchema(run=None, comparisons=[])
        lines = [ComparisonLineSchema.from_line(each) for each in found.latest]
        return ComparisonListSchema(run=found.run, comparisons=lines)

    async def get_comparison(self, comparison: ComparisonIdParameter) -> ComparisonSchema:
        """Return one comparison: its progress and cost, and its result once it has finished."""
        found = await self._backend.call_with_database(status.find_comparison_progress, comparison)
        return ComparisonSchema.from_progress(require_found(found, f"comparison {comparison}", _LIST_PATH))

    async def list_answers(
        self,
        comparison: ComparisonIdParameter,
        probe: ProbeParameter = "",
        model: ModelParameter = "",
        limit: LimitParameter = 100,
        after: AfterParameter = "",
    ) -> AnswerPageSchema:
        """List the answers of a comparison, by model, probe and round. Texts are there only where they are kept."""
        found = await self._backend.call_with_database(status.find_comparison, comparison)
        require_found(found, f"comparison {comparison}", _LIST_PATH)
        try:
            page = await self._backend.call_with_database(
                status.list_answer_page, comparison, probe_id=probe, model=model, limit=limit, after=after
            )
        except ValueError as error:
            problem = f"`after` is not the `next` of a page: {after}."
            raise ProblemError(422, problem, "Send `next` of the previous page, unchanged.") from error
        return AnswerPageSchema(answers=[AnswerSchema.from_answer(each) for each in page.answers], next=page.next)
