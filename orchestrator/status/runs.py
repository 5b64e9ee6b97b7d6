"""History: every run there was, and the datasets they trained on."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.finding import FindingSummary
from orchestrator.status.views import RunView, run_view
from orchestrator.store.db.database import Database
from orchestrator.store.queries import job_search, runs
from orchestrator.store.queries.runs import DatasetRow

__all__ = ["DatasetRow", "DatasetView", "RunListItem", "find_dataset", "list_datasets", "list_runs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunListItem:
    """A run in the list of all: what it was, and how many of its jobs are in which state, held ones as "held"."""

    run: RunView
    current: bool
    counts: dict[str, int]

    @property
    def total(self) -> int:
        """How many jobs it has."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetView:
    """A dataset and the runs that used it, the newest first. In a list the findings are left out."""

    dataset: DatasetRow
    runs: tuple[RunListItem, ...]
    findings: FindingSummary | None = None


async def list_runs(database: Database, now: float) -> tuple[RunListItem, ...]:
    """Every run, the newest first."""
    async with database.read() as connection:
        datasets = await runs.list_dataset_rows(connection)
        every = await runs.list_all(connection)
        counts = await job_search.count_states_by_run(connection, every, now)
    return tuple(
        RunListItem(
            run=run_view(run, datasets[run.dataset_sha256]), current=run.current, counts=counts.get(run.id, {})
        )
        for run in every
    )


async def list_datasets(database: Database, now: float) -> tuple[DatasetView, ...]:
    """Every dataset that a run was made of, the newest first."""
    lines = await list_runs(database, now)
    async with database.read() as connection:
        rows = await runs.list_dataset_rows(connection)
    used = dict.fromkeys(line.run.dataset_sha256 for line in lines)
    return tuple(
        DatasetView(dataset=rows[sha256], runs=tuple(line for line in lines if line.run.dataset_sha256 == sha256))
        for sha256 in used
    )


async def find_dataset(database: Database, sha256: str, now: float) -> DatasetView | None:
    """The dataset with this hash, or None where no run ever used it."""
    lines = tuple(line for line in await list_runs(database, now) if line.run.dataset_sha256 == sha256)
    if not lines:
        return None
    async with database.read() as connection:
        row = await runs.get_dataset_row(connection, sha256)
        findings = await runs.find_findings(connection, sha256)
    return DatasetView(dataset=row, runs=lines, findings=findings)
