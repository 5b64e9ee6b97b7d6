"""Routes of the dataset page, its pictures, and the page with the difference between two datasets.

The library blocks on files, so it is called in a thread. Nothing is loaded from other machines: pictures come from
the dataset itself, as responses of this service.
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from orchestrator import status
from orchestrator.core.structs import replace
from orchestrator.status import DatasetView
from orchestrator.web.backend import WebBackend
from orchestrator.web.dashboard import difference_page, examples_view, history_pages
from orchestrator.web.dashboard.examples_view import ExampleQuery, ExamplesView
from orchestrator.web.dashboard.page_query import reject_nul
from orchestrator.web.dashboard.routes import build_page_response
from orchestrator.web.dashboard.run_choice import RunChoiceLoader
from orchestrator.web.dataset_access import describe_missing_index, open_dataset
from orchestrator.web.problem import ProblemError


class DatasetRoutes:
    """Serves the pages of a dataset."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self.router = APIRouter(
            include_in_schema=False, dependencies=[Depends(reject_nul), Depends(RunChoiceLoader(backend))]
        )
        self.router.add_api_route("/datasets/{sha256}", self.render_dataset, methods=["GET"])
        self.router.add_api_route("/datasets/{sha256}/difference", self.render_difference, methods=["GET"])
        self.router.add_api_route(
            "/datasets/{sha256}/examples/{number}/pictures/{picture}", self.get_picture, methods=["GET"]
        )

    async def render_dataset(self, request: Request, sha256: str) -> Response:
        view = await self._get_view(sha256)
        query = ExampleQuery.from_parameters(sha256, request.query_params)
        examples = await asyncio.to_thread(self._build_examples, view, query)
        others = await self._backend.call_with_database(status.list_datasets, self._backend.now())
        page = history_pages.build_dataset_page(view)
        older = difference_page.find_previous(others, sha256)
        return build_page_response(request, "dataset.html", replace(page, examples=examples, previous_sha256=older))

    async def render_difference(self, request: Request, sha256: str) -> Response:
        """Compare the dataset with another one, by default with that of the previous run."""
        view = await self._get_view(sha256)
        others = await self._backend.call_with_database(status.list_datasets, self._backend.now())
        old = request.query_params.get("with") or difference_page.find_previous(others, sha256)
        other = await self._get_view(old) if old else None
        query = difference_page.DifferenceQuery.from_parameters(sha256, old or "", request.query_params)
        page = await asyncio.to_thread(self._build_difference, view, other, query)
        choices = difference_page.list_choices(others, sha256)
        return build_page_response(request, "difference.html", replace(page, choices=choices))

    async def get_picture(self, sha256: str, number: int, picture: int) -> Response:
        """Return a picture that is embedded in an example; the number of the example counts from 1."""
        view = await self._get_view(sha256)
        dataset = await asyncio.to_thread(open_dataset, self._backend.example_library, view)
        found = await asyncio.to_thread(dataset.find_picture, number - 1, picture) if dataset else None
        if found is None:
            raise ProblemError(404, "There is no such picture.", "The page of the dataset shows its examples.")
        return Response(found.content, media_type=found.media_type, headers={"Cache-Control": "no-store"})

    async def _get_view(self, sha256: str) -> DatasetView:
        view = await self._backend.call_with_database(status.find_dataset, sha256, self._backend.now())
        if view is None:
            raise ProblemError(404, "There is no such dataset.", "`/runs` lists the runs and their datasets.")
        return view

    def _build_examples(self, view: DatasetView, query: ExampleQuery) -> ExamplesView:
        library = self._backend.example_library
        dataset = open_dataset(library, view)
        if library is None or dataset is None:
            return examples_view.build_unavailable_view(query, describe_missing_index(library, view))
        found = library.search(dataset, query.text, query.finding)
        return examples_view.build_examples_view(dataset, found, query, view.runs[0].run.planned_usd)

    def _build_difference(
        self, view: DatasetView, other: DatasetView | None, query: difference_page.DifferenceQuery
    ) -> difference_page.DifferencePage:
        library = self._backend.example_library
        if other is None:
            return difference_page.build_unavailable_page(query, "No earlier run has another dataset.")
        new, old = open_dataset(library, view), open_dataset(library, other)
        if library is None or new is None or old is None:
            return difference_page.build_unavailable_page(
                query, describe_missing_index(library, view if new is None else other)
            )
        return difference_page.build_difference_page(old, new, library.compare(old, new), query)
