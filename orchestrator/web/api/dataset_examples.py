"""API routes that return the examples of a dataset, and the difference between two datasets."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from orchestrator import status
from orchestrator.dataset.browse.example_library import ExampleLibrary, OpenDataset
from orchestrator.status import DatasetView
from orchestrator.web.api import API_PREFIX
from orchestrator.web.api.resources import NameParameter, require_found
from orchestrator.web.api.schemas.examples import (
    DifferenceKind,
    DifferenceSchema,
    ExamplePageSchema,
    ExamplePairSchema,
    ExampleSchema,
)
from orchestrator.web.api.schemas.jobs_and_runs import ShortText
from orchestrator.web.backend import WebBackend
from orchestrator.web.dataset_access import describe_missing_index, is_on_this_machine, open_dataset
from orchestrator.web.problem import ProblemError

RETRY_AFTER_SECONDS = 2
# An example may hold pictures of several megabytes.
ExampleLimit = Annotated[int, Query(ge=1, le=100, description="Maximum number of examples per page.")]
ExampleAfter = Annotated[int, Query(ge=0, le=2**32, description="`next` of the previous page.")]
TextParameter = Annotated[ShortText, Query(description="Only examples whose texts contain this, in any case.")]
FindingParameter = Annotated[ShortText, Query(description="Only examples with a finding of this code.")]
KindParameter = Annotated[DifferenceKind, Query(description="Kind of the returned examples.")]
OldParameter = Annotated[ShortText, Query(alias="with", description="SHA-256 of the older dataset.", min_length=1)]


class DatasetExampleRoutes:
    """Routes below `/datasets/{sha256}`."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self.router = APIRouter(prefix=f"{API_PREFIX}/datasets/{{sha256}}", tags=["datasets"])
        self.router.add_api_route(
            "/examples",
            self.examples,
            methods=["GET"],
            response_model=ExamplePageSchema,
            operation_id="list_examples",
        )
        self.router.add_api_route(
            "/difference",
            self.difference,
            methods=["GET"],
            response_model=DifferenceSchema,
            operation_id="get_difference",
        )

    async def examples(
        self,
        sha256: NameParameter,
        text: TextParameter = "",
        finding: FindingParameter = "",
        limit: ExampleLimit = 20,
        after: ExampleAfter = 0,
    ) -> ExamplePageSchema:
        """List the examples of a dataset.

        A search scans the dataset in the background. `complete` is false in the responses that it is too early for.
        Responds 503 while the index of the examples is being built, and 404 if the file is not on this machine.
        """
        view = await self._get_view(sha256)
        return await asyncio.to_thread(self._build_page, view, text, finding, limit, after)

    async def difference(
        self,
        sha256: NameParameter,
        old: OldParameter,
        kind: KindParameter = "changed",
        limit: ExampleLimit = 20,
        after: ExampleAfter = 0,
    ) -> DifferenceSchema:
        """Return how the dataset differs from an older one, and a page of the examples of one kind."""
        view, other = await self._get_view(sha256), await self._get_view(old)
        return await asyncio.to_thread(self._build_difference, view, other, kind, limit, after)

    async def _get_view(self, sha256: str) -> DatasetView:
        view = await self._backend.call_with_database(status.find_dataset, sha256, self._backend.now())
        return require_found(view, f"dataset {sha256}", "/api/v1/datasets")

    def _open(self, view: DatasetView) -> tuple[ExampleLibrary, OpenDataset]:
        library = self._backend.example_library
        dataset = open_dataset(library, view)
        if library is not None and dataset is not None:
            return library, dataset
        problem = describe_missing_index(library, view)
        if not is_on_this_machine(library, view):
            raise ProblemError(404, problem, "Run `orchestrator plan` on the machine of the service.")
        seconds = str(RETRY_AFTER_SECONDS)
        hint = f"Request again after {seconds} seconds."
        raise ProblemError(503, problem.partition(" This page")[0], hint, headers={"Retry-After": seconds})

    def _build_page(self, view: DatasetView, text: str, finding: str, limit: int, after: int) -> ExamplePageSchema:
        library, dataset = self._open(view)
        found = library.search(dataset, text, finding)
        start = bisect_right(found.numbers, after - 1)
        numbers = found.numbers[start : start + limit]
        is_last = start + limit >= len(found.numbers)
        return ExamplePageSchema(
            examples=_read_examples(dataset, numbers),
            total=len(found.numbers),
            complete=found.complete,
            next=None if is_last else numbers[-1] + 1,
        )

    def _build_difference(
        self, view: DatasetView, other: DatasetView, kind: DifferenceKind, limit: int, after: int
    ) -> DifferenceSchema:
        (library, new), (_, old) = self._open(view), self._open(other)
        found = library.compare(old, new)
        olds = {"changed": found.changed_old, "removed": found.removed, "added": ()}[kind]
        news = {"changed": found.changed_new, "removed": (), "added": found.added}[kind]
        page = slice(after, after + limit)
        before, later = _read_examples(old, olds[page]), _read_examples(new, news[page])
        return DifferenceSchema(
            old_sha256=other.dataset.sha256,
            new_sha256=view.dataset.sha256,
            changed=len(found.changed_new),
            added=len(found.added),
            removed=len(found.removed),
            unchanged=found.unchanged,
            kind=kind,
            pairs=_build_pairs(before, later),
            next=after + limit if after + limit < max(len(olds), len(news)) else None,
        )


def _read_examples(dataset: OpenDataset, numbers: Sequence[int]) -> list[ExampleSchema]:
    return [ExampleSchema.from_example(example) for example in dataset.list_examples(numbers)]


def _build_pairs(before: Sequence[ExampleSchema], later: Sequence[ExampleSchema]) -> list[ExamplePairSchema]:
    if before and later:
        return [ExamplePairSchema(old=old, new=new) for old, new in zip(before, later, strict=True)]
    return [ExamplePairSchema(old=old, new=None) for old in before] + [
        ExamplePairSchema(old=None, new=new) for new in later
    ]
