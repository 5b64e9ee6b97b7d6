"""Reading: the read model's parts as JSON, a page at a time."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel

from orchestrator import status
from orchestrator.core.account import ProviderName
from orchestrator.core.lifecycle import State
from orchestrator.core.selection import Selection
from orchestrator.exports import Form
from orchestrator.status import Listing
from orchestrator.web.documents import (
    Job,
    JobPage,
    Model,
    ModelPage,
    RunList,
    RunSummary,
    Text,
)
from orchestrator.web.exporting import MOST, AsForm, AsText, Everything, HiddenEverything, exported
from orchestrator.web.inventory import Account, AccountDetail, AccountJob, AccountPage, Dataset, DatasetList
from orchestrator.web.problem import Refused
from orchestrator.web.program import Program

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=500, description="Most entries of a page.")]
After = Annotated[Text, Query(description="`next` of the page before.")]
Name = Annotated[Text, Path(description="As the list names it.")]


At = Annotated[ProviderName | None, Query(description="Only accounts at this provider.")]
Labelled = Annotated[Text, Query(description="Only accounts with this label.")]
Found = Annotated[Text, Query(description="Anywhere in names, labels, ids and errors.")]


def selection(
    state: Annotated[State | None, Query(description="Only jobs in this state.")] = None,
    held: Annotated[bool | None, Query(description="Only jobs that are set aside, or only others.")] = None,
    provider: At = None,
    label: Labelled = "",
    error: Annotated[Text, Query(description="Only jobs whose `error` is of this kind.")] = "",
    text: Found = "",
) -> Selection:
    """What a request narrows its answer to."""
    return Selection(state=state or "", held=held, provider=provider or "", label=label, error=error, text=text)


def made(provider: At = None, label: Labelled = "", text: Found = "") -> Selection:
    """The same of jobs that have their model."""
    return Selection(state=State.SUCCEEDED, provider=provider or "", label=label, text=text)


Chosen = Annotated[Selection, Depends(selection)]
Made = Annotated[Selection, Depends(made)]
OfRun = Annotated[Text, Query(description="A run's id; default: the current run.")]


class Reading:
    """One path for each thing and for the list of them."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.routes = APIRouter()
        self._add("/runs", self.runs, RunList)
        self._add("/runs/{run}", self.run, RunSummary)
        self._add("/jobs", self.jobs, JobPage)
        self._add("/jobs/{job}", self.job, AccountJob)
        self._add("/models", self.models, ModelPage)
        self.routes.add_api_route(
            "/models/export",
            self.export_models,
            methods=["GET"],
            response_class=PlainTextResponse,
            operation_id="export_models",
            tags=["models"],
        )
        self._add("/accounts", self.accounts, AccountPage)
        self._add("/accounts/{account}", self.account, AccountDetail)
        self._add("/datasets", self.datasets, DatasetList)
        self._add("/datasets/{sha256}", self.dataset, Dataset)

    def _add(self, path: str, answer: Any, document: type[BaseModel]) -> None:
        self.routes.add_api_route(
            path,
            answer,
            methods=["GET"],
            response_model=document,
            operation_id=answer.__name__,
            tags=[path.split("/")[1]],
        )

    async def runs(self) -> RunList:
        """Every run, the newest first."""
        lines = await self._program.call(status.list_runs, self._program.now())
        return RunList(runs=[RunSummary.of(line) for line in lines])

    async def run(self, run: Name) -> RunSummary:
        """One run. `current` stands for what the accounts file asks for."""
        run_id = None if run == "current" else run
        found = await self._program.call(status.glance, self._program.now(), run_id=run_id)
        return RunSummary.of(_found(found, f"run {run}", "/api/v1/runs"))

    async def jobs(self, chosen: Chosen, run: OfRun = "", limit: Limit = 100, after: After = "") -> JobPage:
        """The jobs of a run, by account name."""
        page = await self._listing(chosen, run, limit, after)
        if page is None:
            return JobPage(jobs=[], total=0, counts={}, next=None)
        return JobPage(jobs=[Job.of(job) for job in page.jobs], total=page.total, counts=page.counts, next=page.next)

    async def job(self, job: Name) -> AccountJob:
        """One job, with the run it belongs to now."""
        found = _found(
            await self._program.call(status.read_job, job, self._program.now()), f"job {job}", "/api/v1/jobs"
        )
        return AccountJob(
            run=found.run,
            run_name=found.run_name,
            current=found.current,
            dataset_sha256=found.dataset_sha256,
            job=Job.of(found.job),
        )

    async def models(
        self,
        chosen: Made,
        run: OfRun = "",
        limit: Limit = 100,
        after: After = "",
        form: AsForm = Form.JSON,
        everything: HiddenEverything = False,
    ) -> ModelPage | Response:
        """The fine-tuned models of a run, by account name."""
        if form is not Form.JSON:
            every = await self._listing(chosen.in_any_state, run, MOST, "")
            return exported(self._program, every, form, everything=everything)
        page = await self._listing(chosen, run, limit, after)
        if page is None:
            return ModelPage(models=[], total=0, next=None)
        return ModelPage(models=[Model.of(job) for job in page.jobs], total=page.total, next=page.next)

    async def export_models(
        self, chosen: Made, form: AsText, run: OfRun = "", everything: Everything = False
    ) -> Response:
        """Every fine-tuned model of a run as text for people and other programs.

        The text is what `orchestrator models --format` writes. `/api/v1/models?format=` answers the same with the
        form's own media type.
        """
        every = await self._listing(chosen.in_any_state, run, MOST, "")
        return exported(self._program, every, Form(form), everything=everything, plain=True)

    async def accounts(self, limit: Limit = 100, after: After = "") -> AccountPage:
        """Every account that is or was listed, by name."""
        lines = await self._program.call(status.list_accounts, self._program.now(), limit=limit + 1, after=after)
        more = len(lines) > limit
        listed = [Account.of(line) for line in lines[:limit]]
        return AccountPage(accounts=listed, next=listed[-1].name if more else None)

    async def account(self, account: Name) -> AccountDetail:
        """One account with its jobs."""
        found = await self._program.call(status.read_account, account, self._program.now())
        return AccountDetail.of(_found(found, f"account {account}", "/api/v1/accounts"))

    async def datasets(self) -> DatasetList:
        """Every dataset that a run was made of."""
        return DatasetList(
            datasets=[
                Dataset.of(view) for view in await self._program.call(status.list_datasets, self._program.now())
            ]
        )

    async def dataset(self, sha256: Name) -> Dataset:
        """One dataset: its hash, figures and runs, and their moderation."""
        found = await self._program.call(status.read_dataset, sha256, self._program.now())
        return Dataset.of(_found(found, f"dataset {sha256}", "/api/v1/datasets"))

    async def _listing(self, chosen: Selection, run: str, limit: int, after: str) -> Listing | None:
        now, given = self._program.now(), run or None
        page = await self._program.call(status.list_jobs, chosen, now, run_id=given, limit=limit, after=after)
        return _found(page, f"run {run}", "/api/v1/runs") if run else page


def _found(value: T | None, what: str, listed: str) -> T:
    if value is None:
        raise Refused(404, f"there is no {what}", f"`{listed}` lists what there is.")
    return value
