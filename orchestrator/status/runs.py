"""Lists of all runs and of the datasets that they used."""

from __future__ import annotations

from pathlib import Path

from orchestrator.core.finding import FindingSummary
from orchestrator.core.structs import Struct
from orchestrator.status.views import RunView, run_view
from orchestrator.store.db.database import Database
from orchestrator.store.queries import job_search, runs
from orchestrator.store.queries.runs import DatasetRow

__all__ = [
    "CurrentRun",
    "DatasetRow",
    "DatasetView",
    "RunListItem",
    "find_dataset",
    "list_current_runs",
    "list_datasets",
    "list_runs",
]


class RunListItem(Struct, frozen=True, kw_only=True):
    """A run in the list of all runs."""

    run: RunView
    current: bool
    counts: dict[str, int]
    """Jobs by state; jobs on hold count as "held"."""

    @property
    def total(self) -> int:
        """Number of jobs of the run."""
        return sum(self.counts.values())


class CurrentRun(Struct, frozen=True, kw_only=True):
    """A run that the accounts file describes, for a choice of one of them."""

    id: str
    name: str
    dataset_sha256: str


class DatasetView(Struct, frozen=True, kw_only=True):
    """A dataset and the runs that used it, the newest first. Lists omit the findings."""

    dataset: DatasetRow
    runs: tuple[RunListItem, ...]
    findings: FindingSummary | None = None
    training_sha256: str = ""
    """Hash of the training file; empty in lists."""


async def list_runs(database: Database, now: float) -> tuple[RunListItem, ...]:
    """Return all runs, the newest first."""
    async with database.read() as connection:
        datasets = await runs.list_dataset_rows(connection)
        all_runs = await runs.list_all(connection)
        counts = await job_search.count_states_by_run(connection, all_runs, now)
    return tuple(
        RunListItem(
            run=run_view(run, datasets[run.dataset_sha256]), current=run.current, counts=counts.get(run.id, {})
        )
        for run in all_runs
    )


async def list_current_runs(database: Database) -> tuple[CurrentRun, ...]:
    """Return the current runs, the one with the highest priority first, then the oldest."""
    async with database.read() as connection:
        current = await runs.list_current(connection)
    return tuple(CurrentRun(id=run.id, name=run.name, dataset_sha256=run.dataset_sha256) for run in current)


async def list_datasets(database: Database, now: float) -> tuple[DatasetView, ...]:
    """Return all datasets that a run used, the newest first."""
    items = await list_runs(database, now)
    async with database.read() as connection:
        rows = await runs.list_dataset_rows(connection)
    used = dict.fromkeys(item.run.dataset_sha256 for item in items)
    return tuple(
        DatasetView(dataset=rows[sha256], runs=tuple(item for item in items if item.run.dataset_sha256 == sha256))
        for sha256 in used
    )


async def find_dataset(database: Database, sha256: str, now: float) -> DatasetView | None:
    """Return the dataset with this SHA-256 and its findings, or None when no run used it."""
    items = tuple(item for item in await list_runs(database, now) if item.run.dataset_sha256 == sha256)
    if not items:
        return None
    async with database.read() as connection:
        row = await runs.get_dataset_row(connection, sha256)
        findings = await runs.find_findings(connection, sha256)
        training = (await runs.get_dataset(connection, sha256, Path())).training
    return DatasetView(dataset=row, runs=items, findings=findings, training_sha256=training.sha256)
