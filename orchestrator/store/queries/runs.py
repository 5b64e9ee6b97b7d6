"""Queries about runs and their datasets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import bindparam, insert, select, update

from orchestrator.core.dataset import Dataset, DatasetPart, local_filename
from orchestrator.core.finding import FindingSummary
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.run import Run
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.mapping import RUN_COLUMNS, run_from_row, run_to_row
from orchestrator.store.schema.tables import datasets, runs


async def get(connection: StoreConnection, run_id: RunId) -> Run:
    """The run with this id."""
    return run_from_row((await connection.execute(select(*RUN_COLUMNS).where(runs.c.id == run_id))).one())


async def find(connection: StoreConnection, run_id: RunId) -> Run | None:
    """The run with this id, if there is one."""
    row = (await connection.execute(select(*RUN_COLUMNS).where(runs.c.id == run_id))).one_or_none()
    return run_from_row(row) if row else None


async def find_current(connection: StoreConnection) -> Run | None:
    """The run that the accounts file asks for."""
    row = (await connection.execute(select(*RUN_COLUMNS).where(runs.c.current.is_(True)))).one_or_none()
    return run_from_row(row) if row else None


async def list_all(connection: StoreConnection) -> list[Run]:
    """All runs, the newest first."""
    query = select(*RUN_COLUMNS).order_by(runs.c.created_at.desc(), runs.c.id)
    return [run_from_row(row) for row in await connection.execute(query)]


async def save(tx: Transaction, run: Run) -> None:
    """Insert or replace; a current run takes the place of the one before."""
    if run.current:
        await tx.connection.execute(update(runs).where(runs.c.id != run.id).values(current=False))
    changed = await tx.connection.execute(update(runs).where(runs.c.id == run.id).values(run_to_row(run)))
    if changed.rowcount == 0:
        await tx.connection.execute(insert(runs).values(run_to_row(run)))


async def save_dataset(tx: Transaction, dataset: Dataset, at: float, findings: FindingSummary | None = None) -> None:
    """Remember a dataset and what the check found in its chats this time; its bytes stay on disk."""
    known = select(datasets.c.sha256).where(datasets.c.sha256 == dataset.sha256)
    if (await tx.connection.execute(known)).one_or_none() is None:
        parts = _part_columns("training", dataset.training) | _part_columns("validation", dataset.validation)
        await tx.connection.execute(insert(datasets).values(sha256=dataset.sha256, created_at=at, **parts))
    if findings is not None:
        found = update(datasets).where(datasets.c.sha256 == dataset.sha256).values(findings=findings.as_dict())
        await tx.connection.execute(found)


async def find_findings(connection: StoreConnection, sha256: str) -> FindingSummary | None:
    """What the check found in the dataset's chats; None where that was not recorded."""
    query = select(datasets.c.findings).where(datasets.c.sha256 == sha256)
    found = (await connection.execute(query)).scalar_one()
    return FindingSummary.from_dict(found) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRow:
    """A dataset's figures, without its files."""

    sha256: str
    examples: int
    tokens: int | None
    bytes: int
    validation_sha256: str | None
    validation_examples: int | None
    validation_tokens: int | None
    created_at: float


_SELECT_DATASET_ROW = select(
    datasets.c.sha256,
    datasets.c.training_examples.label("examples"),
    datasets.c.training_tokens.label("tokens"),
    datasets.c.training_bytes.label("bytes"),
    datasets.c.validation_sha256,
    datasets.c.validation_examples,
    datasets.c.validation_tokens,
    datasets.c.created_at,
)


async def get_dataset_row(connection: StoreConnection, sha256: str) -> DatasetRow:
    """What is worth showing of a dataset."""
    row = (await connection.execute(_SELECT_DATASET_ROW.where(datasets.c.sha256 == sha256))).one()
    return DatasetRow(**row._mapping)


async def list_dataset_rows(connection: StoreConnection) -> dict[str, DatasetRow]:
    """What is worth showing of every dataset, by its hash."""
    return {row.sha256: DatasetRow(**row._mapping) for row in await connection.execute(_SELECT_DATASET_ROW)}


async def get_dataset(connection: StoreConnection, sha256: str, folder: Path) -> Dataset:
    """A dataset whose JSONL lies in `folder`."""
    row = (await connection.execute(_SELECT_DATASET, {"wanted": sha256})).one()._mapping

    def part(name: str) -> DatasetPart | None:
        if row[f"{name}_sha256"] is None:
            return None
        return DatasetPart(
            path=folder / local_filename(row[f"{name}_sha256"]),
            sha256=row[f"{name}_sha256"],
            bytes=row[f"{name}_bytes"],
            examples=row[f"{name}_examples"],
            tokens=row[f"{name}_tokens"],
        )

    training = part("training")
    assert training is not None
    return Dataset(training=training, validation=part("validation"))


def _part_columns(name: str, part: DatasetPart | None) -> dict[str, object]:
    if part is None:
        return {}
    return {f"{name}_{field}": getattr(part, field) for field in ("sha256", "bytes", "examples", "tokens")}


_SELECT_DATASET = select(datasets).where(datasets.c.sha256 == bindparam("wanted"))
