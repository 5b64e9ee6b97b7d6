"""Reading: the read model's parts as JSON, a page at a time."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel

from orchestrator import status
from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.exports import ExportFormat
from orchestrator.status import JobListing
from orchestrator.web.api.model_export import (
    MAX_EXPORTED_ACCOUNTS,
    HiddenFormatParameter,
    HiddenIncludeUnservable,
    IncludeUnservable,
    TextFormatParameter,
    export_response,
)
from orchestrator.web.api.schemas.accounts_and_datasets import (
    AccountDetailSchema,
    AccountJobSchema,
    AccountPageSchema,
    AccountSchema,
    DatasetListSchema,
    DatasetSchema,
)
from orchestrator.web.api.schemas.jobs_and_runs import (
    JobPageSchema,
    JobSchema,
    ModelPageSchema,
    ModelSchema,
    RunListSchema,
    RunSummarySchema,
    ShortText,
)
from orchestrator.web.backend import WebBackend
from orchestrator.web.problem import ProblemError

T = TypeVar("T")
LimitParameter = Annotated[int, Query(ge=1, le=500, description="Most entries of a page.")]
AfterParameter = Annotated[ShortText, Query(description="`next` of the page before.")]
NameParameter = Annotated[ShortText, Path(description="As the list names it.")]


ProviderParameter = Annotated[ProviderName | None, Query(description="Only accounts at this provider.")]
LabelParameter = Annotated[ShortText, Query(description="Only accounts with this label.")]
TextParameter = Annotated[ShortText, Query(description="Anywhere in names, labels, ids and errors.")]


def parse_job_filter(
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    held: Annotated[bool | None, Query(description="Only jobs that are set aside, or only others.")] = None,
    provider: ProviderParameter = None,
    label: LabelParameter = "",
    error: Annotated[ShortText, Query(description="Only jobs whose `error` is of this kind.")] = "",
    text: TextParameter = "",
) -> JobFilter:
    """What a request narrows its answer to."""
    return JobFilter(state=state or "", held=held, provider=provider or "", label=label, error=error, text=text)


def parse_model_filter(
    provider: ProviderParameter = None, label: LabelParameter = "", text: TextParameter = ""
) -> JobFilter:
    """The same of jobs that have their model."""
    return JobFilter(state=JobState.SUCCEEDED, provider=provider or "", label=label, text=text)


JobFilterParameter = Annotated[JobFilter, Depends(parse_job_filter)]
ModelFilterParameter = Annotated[JobFilter, Depends(parse_model_filter)]
RunParameter = Annotated[ShortText, Query(description="A run's id; default: the current run.")]


class ResourceRoutes:
    """One path for each thing and for the list of them."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self.router = APIRouter()
        self._add_route("/runs", self.runs, RunListSchema)
        self._add_route("/runs/{run}", self.run, RunSummarySchema)
        self._add_route("/jobs", self.jobs, JobPageSchema)
        self._add_route("/jobs/{job}", self.job, AccountJobSchema)
        self._add_route("/models", self.models, ModelPageSchema)
        self.router.add_api_route(
            "/models/export",
            self.export_models,
            methods=["GET"],
            response_class=PlainTextResponse,
            operation_id="export_models",
            tags=["models"],
        )
        self._add_route("/accounts", self.accounts, AccountPageSchema)
        self._add_route("/accounts/{account}", self.account, AccountDetailSchema)
        self._add_route("/datasets", self.datasets, DatasetListSchema)
        self._add_route("/datasets/{sha256}", self.dataset, DatasetSchema)

    def _add_route(self, path: str, endpoint: Any, schema: type[BaseModel]) -> None:
        self.router.add_api_route(
            path,
            endpoint,
            methods=["GET"],
            response_model=schema,
            operation_id=endpoint.__name__,
            tags=[path.split("/")[1]],
        )

    async def runs(self) -> RunListSchema:
        """Every run, the newest first."""
        lines = await self._backend.call_with_database(status.list_runs, self._backend.now())
        return RunListSchema(runs=[RunSummarySchema.from_view(line) for line in lines])

    async def run(self, run: NameParameter) -> RunSummarySchema:
        """One run. `current` stands for what the accounts file asks for."""
        run_id = None if run == "current" else run
        found = await self._backend.call_with_database(status.find_run_overview, self._backend.now(), run_id=run_id)
        return RunSummarySchema.from_view(_require(found, f"run {run}", "/api/v1/runs"))

    async def jobs(
        self,
        job_filter: JobFilterParameter,
        run: RunParameter = "",
        limit: LimitParameter = 100,
        after: AfterParameter = "",
    ) -> JobPageSchema:
        """The jobs of a run, by account name."""
        page = await self._get_job_page(job_filter, run, limit, after)
        if page is None:
            return JobPageSchema(jobs=[], total=0, counts={}, next=None)
        return JobPageSchema(
            jobs=[JobSchema.from_view(job) for job in page.jobs], total=page.total, counts=page.counts, next=page.next
        )

    async def job(self, job: NameParameter) -> AccountJobSchema:
        """One job, with the run it belongs to now."""
        found = _require(
            await self._backend.call_with_database(status.find_job, job, self._backend.now()),
            f"job {job}",
            "/api/v1/jobs",
        )
        return AccountJobSchema(
            run=found.run,
            run_name=found.run_name,
            current=found.current,
            dataset_sha256=found.dataset_sha256,
            job=JobSchema.from_view(found.job),
        )

    async def models(
        self,
        job_filter: ModelFilterParameter,
        run: RunParameter = "",
        limit: LimitParameter = 100,
        after: AfterParameter = "",
        export_format: HiddenFormatParameter = ExportFormat.JSON,
        include_unservable: HiddenIncludeUnservable = False,
    ) -> ModelPageSchema | Response:
        """The fine-tuned models of a run, by account name."""
        if export_format is not ExportFormat.JSON:
            every = await self._get_job_page(job_filter.without_state, run, MAX_EXPORTED_ACCOUNTS, "")
            return export_response(self._backend, every, export_format, include_unservable=include_unservable)
        page = await self._get_job_page(job_filter, run, limit, after)
        if page is None:
            return ModelPageSchema(models=[], total=0, next=None)
        return ModelPageSchema(
            models=[ModelSchema.from_view(job) for job in page.jobs], total=page.total, next=page.next
        )

    async def export_models(
        self,
        job_filter: ModelFilterParameter,
        export_format: TextFormatParameter,
        run: RunParameter = "",
        include_unservable: IncludeUnservable = False,
    ) -> Response:
        """Every fine-tuned model of a run as text for people and other programs.

        The text is what `orchestrator models --format` writes. `/api/v1/models?format=` answers the same with the
        form's own media type.
        """
        every = await self._get_job_page(job_filter.without_state, run, MAX_EXPORTED_ACCOUNTS, "")
        return export_response(
            self._backend,
            every,
            ExportFormat(export_format),
            include_unservable=include_unservable,
            as_plain_text=True,
        )

    async def accounts(self, limit: LimitParameter = 100, after: AfterParameter = "") -> AccountPageSchema:
        """Every account that is or was listed, by name."""
        lines = await self._backend.call_with_database(
            status.list_accounts, self._backend.now(), limit=limit + 1, after=after
        )
        more = len(lines) > limit
        listed = [AccountSchema.from_view(line) for line in lines[:limit]]
        return AccountPageSchema(accounts=listed, next=listed[-1].name if more else None)

    async def account(self, account: NameParameter) -> AccountDetailSchema:
        """One account with its jobs."""
        found = await self._backend.call_with_database(status.find_account, account, self._backend.now())
        return AccountDetailSchema.from_view(_require(found, f"account {account}", "/api/v1/accounts"))

    async def datasets(self) -> DatasetListSchema:
        """Every dataset that a run was made of."""
        return DatasetListSchema(
            datasets=[
                DatasetSchema.from_view(view)
                for view in await self._backend.call_with_database(status.list_datasets, self._backend.now())
            ]
        )

    async def dataset(self, sha256: NameParameter) -> DatasetSchema:
        """One dataset: its hash, figures and runs, and their moderation."""
        found = await self._backend.call_with_database(status.find_dataset, sha256, self._backend.now())
        return DatasetSchema.from_view(_require(found, f"dataset {sha256}", "/api/v1/datasets"))

    async def _get_job_page(self, job_filter: JobFilter, run: str, limit: int, after: str) -> JobListing | None:
        now, given = self._backend.now(), run or None
        page = await self._backend.call_with_database(
            status.list_jobs, job_filter, now, run_id=given, limit=limit, after=after
        )
        return _require(page, f"run {run}", "/api/v1/runs") if run else page


def _require(value: T | None, what: str, listed: str) -> T:
    if value is None:
        raise ProblemError(404, f"there is no {what}", f"`{listed}` lists what there is.")
    return value
