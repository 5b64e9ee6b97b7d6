"""API routes that list and return runs, jobs, models, accounts and datasets."""

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
from orchestrator.web.api import API_PREFIX
from orchestrator.web.api.model_export import (
    MAX_EXPORTED_ACCOUNTS,
    CheckpointParameter,
    HiddenCheckpoint,
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
LimitParameter = Annotated[int, Query(ge=1, le=500, description="Maximum number of entries per page.")]
AfterParameter = Annotated[ShortText, Query(description="`next` of the previous page.")]
NameParameter = Annotated[
    ShortText, Path(description="Identifier of the resource, as the list returns it: an id, a name or a SHA-256.")
]


ProviderParameter = Annotated[ProviderName | None, Query(description="Only accounts at this provider.")]
LabelParameter = Annotated[ShortText, Query(description="Only accounts with this label.")]
TextParameter = Annotated[ShortText, Query(description="Full-text filter over names, labels, ids and errors.")]


def parse_job_filter(
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    held: Annotated[bool | None, Query(description="Only jobs on hold (true) or not on hold (false).")] = None,
    provider: ProviderParameter = None,
    label: LabelParameter = "",
    error: Annotated[ShortText, Query(description="Only jobs whose `error` is of this kind.")] = "",
    text: TextParameter = "",
) -> JobFilter:
    """Return the job filter given by the query parameters."""
    return JobFilter(state=state or "", held=held, provider=provider or "", label=label, error=error, text=text)


def parse_model_filter(
    provider: ProviderParameter = None, label: LabelParameter = "", text: TextParameter = ""
) -> JobFilter:
    """Return a filter for jobs that have produced a model."""
    return JobFilter(state=JobState.SUCCEEDED, provider=provider or "", label=label, text=text)


JobFilterParameter = Annotated[JobFilter, Depends(parse_job_filter)]
ModelFilterParameter = Annotated[JobFilter, Depends(parse_model_filter)]
RunParameter = Annotated[
    ShortText,
    Query(
        description="Id of a run, or name of a current run. Default: the current run; of several, the one with the "
        "highest priority, then the oldest."
    ),
]

ExportRunParameter = Annotated[
    ShortText, Query(description="Id of a run, or name of a current run; default: all current runs.")
]


class ResourceRoutes:
    """Routes of each resource and of its list."""

    def __init__(self, backend: WebBackend) -> None:
        self._backend = backend
        self.router = APIRouter(prefix=API_PREFIX)
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
            operation_id=f"{'get' if '{' in path else 'list'}_{endpoint.__name__}",
            tags=[path.split("/")[1]],
        )

    async def runs(self) -> RunListSchema:
        """List all runs, newest first."""
        items = await self._backend.call_with_database(status.list_runs, self._backend.now())
        return RunListSchema(runs=[RunSummarySchema.from_view(item) for item in items])

    async def run(self, run: NameParameter) -> RunSummarySchema:
        """Return one run. The id `current` stands for the current run, the name of a current run for that run."""
        run_id = None if run == "current" else run
        overview = await self._backend.call_with_database(
            status.find_run_overview, self._backend.now(), run_id=run_id
        )
        return RunSummarySchema.from_view(require_found(overview, f"run {run}", "/api/v1/runs"))

    async def jobs(
        self,
        job_filter: JobFilterParameter,
        run: RunParameter = "",
        limit: LimitParameter = 100,
        after: AfterParameter = "",
    ) -> JobPageSchema:
        """List the jobs of a run, sorted by account name."""
        page = await self._get_job_page(job_filter, run, limit, after)
        if page is None:
            return JobPageSchema(jobs=[], total=0, counts={}, next=None)
        return JobPageSchema(
            jobs=[JobSchema.from_view(job) for job in page.jobs], total=page.total, counts=page.counts, next=page.next
        )

    async def job(self, job: NameParameter) -> AccountJobSchema:
        """Return one job with the run it currently belongs to."""
        view = require_found(
            await self._backend.call_with_database(status.find_job, job, self._backend.now()),
            f"job {job}",
            "/api/v1/jobs",
        )
        return AccountJobSchema(
            run=view.run,
            run_name=view.run_name,
            current=view.current,
            dataset_sha256=view.dataset_sha256,
            job=JobSchema.from_view(view.job),
        )

    async def models(
        self,
        job_filter: ModelFilterParameter,
        run: RunParameter = "",
        limit: LimitParameter = 100,
        after: AfterParameter = "",
        export_format: HiddenFormatParameter = ExportFormat.JSON,
        include_unservable: HiddenIncludeUnservable = False,
        checkpoint: HiddenCheckpoint = "",
    ) -> ModelPageSchema | Response:
        """List the fine-tuned models of a run, sorted by account name."""
        if export_format is not ExportFormat.JSON:
            listings = await self._list_exported_jobs(job_filter, run)
            return export_response(
                self._backend, listings, export_format, checkpoint=checkpoint, include_unservable=include_unservable
            )
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
        run: ExportRunParameter = "",
        include_unservable: IncludeUnservable = False,
        checkpoint: CheckpointParameter = "",
    ) -> Response:
        """Export all fine-tuned models of the current runs, or of one run, as text.

        The text is the output of `orchestrator models --format`. `/api/v1/models?format=` returns the same text with
        the media type of the format.
        """
        listings = await self._list_exported_jobs(job_filter, run)
        return export_response(
            self._backend,
            listings,
            ExportFormat(export_format),
            checkpoint=checkpoint,
            include_unservable=include_unservable,
            as_plain_text=True,
        )

    async def accounts(self, limit: LimitParameter = 100, after: AfterParameter = "") -> AccountPageSchema:
        """List all accounts that are or were in the accounts file, sorted by name."""
        rows = await self._backend.call_with_database(
            status.list_accounts, self._backend.now(), limit=limit + 1, after=after
        )
        page = [AccountSchema.from_view(row) for row in rows[:limit]]
        return AccountPageSchema(accounts=page, next=page[-1].name if len(rows) > limit else None)

    async def account(self, account: NameParameter) -> AccountDetailSchema:
        """Return one account with its jobs."""
        view = await self._backend.call_with_database(status.find_account, account, self._backend.now())
        return AccountDetailSchema.from_view(require_found(view, f"account {account}", "/api/v1/accounts"))

    async def datasets(self) -> DatasetListSchema:
        """List all datasets used by a run, newest first."""
        return DatasetListSchema(
            datasets=[
                DatasetSchema.from_view(view)
                for view in await self._backend.call_with_database(status.list_datasets, self._backend.now())
            ]
        )

    async def dataset(self, sha256: NameParameter) -> DatasetSchema:
        """Return one dataset: its hash, size, findings and runs with their moderation records."""
        view = await self._backend.call_with_database(status.find_dataset, sha256, self._backend.now())
        return DatasetSchema.from_view(require_found(view, f"dataset {sha256}", "/api/v1/datasets"))

    async def _list_exported_jobs(self, job_filter: JobFilter, run: str) -> list[JobListing]:
        """Return the jobs of the run, or of each current run."""
        current = () if run else await self._backend.call_with_database(status.list_current_runs)
        names = [run] if run else [each.id for each in current]
        pages = [
            await self._get_job_page(job_filter.without_state, name, MAX_EXPORTED_ACCOUNTS, "") for name in names
        ]
        return [page for page in pages if page is not None]

    async def _get_job_page(self, job_filter: JobFilter, run: str, limit: int, after: str) -> JobListing | None:
        page = await self._backend.call_with_database(
            status.list_jobs, job_filter, self._backend.now(), run_id=run or None, limit=limit, after=after
        )
        return require_found(page, f"run {run}", "/api/v1/runs") if run else page


def require_found(value: T | None, what: str, list_path: str) -> T:
    """Return the value, or raise the problem 404 that names what is missing and the list of what exists."""
    if value is None:
        raise ProblemError(404, f"There is no {what}.", f"`{list_path}` lists the existing ones.")
    return value
