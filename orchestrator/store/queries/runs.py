"""Queries about runs and their datasets."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sqlalchemy import bindparam, insert, select, update

from orchestrator.core.dataset import Dataset, DatasetPart, local_filename
from orchestrator.core.finding import FindingSummary
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.mapping import RUN_COLUMNS, run_from_row, run_to_row
from orchestrator.store.schema.tables import datasets, runs


async def get(connection: StoreConnection, run_id: RunId) -> Run:
    """Return the run with this id, which must exist."""
    return run_from_row((await connection.execute(select(*RUN_COLUMNS).where(runs.c.id == run_id))).one())


async def find(connection: StoreConnection, run_id: RunId) -> Run | None:
    """Return the run with this id, or None."""
    row = (await connection.execute(select(*RUN_COLUMNS).where(runs.c.id == run_id))).one_or_none()
    return run_from_row(row) if row else None


async def find_current(connection: StoreConnection) -> Run | None:
    """Return the first of the current runs in the order of `Run.rank`, or None."""
    return next(iter(await list_current(connection)), None)


async def list_current(connection: StoreConnection) -> list[Run]:
    """Return the runs that the accounts file describes, in the order of `Run.rank`."""
    rows = await connection.execute(select(*RUN_COLUMNS).where(runs.c.current.is_(True)))
    return sorted(map(run_from_row, rows), key=lambda run: run.rank)


async def set_current(tx: Transaction, ids: Collection[RunId]) -> None:
    """Make exactly these runs current; all others are superseded."""
    is_listed = runs.c.id.in_(list(ids))
    await tx.connection.execute(update(runs).where(is_listed, runs.c.current.is_(False)).values(current=True))
    await tx.connection.execute(update(runs).where(~is_listed, runs.c.current.is_(True)).values(current=False))


async def list_all(connection: StoreConnection) -> list[Run]:
    """Return all runs, the newest first."""
    query = select(*RUN_COLUMNS).order_by(runs.c.created_at.desc(), runs.c.id)
    return [run_from_row(row) for row in await connection.execute(query)]


async def save(tx: Transaction, run: Run) -> None:
    """Insert or update a run. Other runs stay as they are: `set_current` decides which runs are current."""
    changed = await tx.connection.execute(update(runs).where(runs.c.id == run.id).values(run_to_row(run)))
    if changed.rowcount == 0:
        await tx.connection.execute(insert(runs).values(run_to_row(run)))


async def save_dataset(tx: Transaction, dataset: Dataset, at: float, findings: FindingSummary | None = None) -> None:
    """Store a dataset and the findings of its latest check. The files themselves stay on disk."""
    existing = select(datasets.c.sha256).where(datasets.c.sha256 == dataset.sha256)
    if (await tx.connection.execute(existing)).one_or_none() is None:
        parts = _part_columns("training", dataset.training) | _part_columns("validation", dataset.validation)
        await tx.connection.execute(insert(datasets).values(sha256=dataset.sha256, created_at=at, **parts))
    if findings is not None:
        statement = update(datasets).where(datasets.c.sha256 == dataset.sha256).values(findings=findings.as_dict())
        await tx.connection.execute(statement)


async def find_findings(connection: StoreConnection, sha256: str) -> FindingSummary | None:
    """Return the findings of the dataset's latest check, or None when they were not recorded."""
    query = select(datasets.c.findings).where(datasets.c.sha256 == sha256)
    stored = (await connection.execute(query)).scalar_one()
    return FindingSummary.from_dict(stored) if stored else None


class DatasetRow(Struct, frozen=True, kw_only=True):
    """The figures of a dataset, without its files. `tokens` is None when they were not counted."""

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
    """Return the figures of a dataset, which must exist."""
    row = (await connection.execute(_SELECT_DATASET_ROW.where(datasets.c.sha256 == sha256))).one()
    return DatasetRow(**row._mapping)


async def list_dataset_rows(connection: StoreConnection) -> dict[str, DatasetRow]:
    """Return the figures of all datasets, by SHA-256."""
    return {row.sha256: DatasetRow(**row._mapping) for row in await connection.execute(_SELECT_DATASET_ROW)}


async def get_dataset(connection: StoreConnection, sha256: str, folder: Path) -> Dataset:
    """Return a dataset with the paths of its JSONL files in `folder`."""
    row = (await connection.execute(_SELECT_DATASET, {"sha256": sha256})).one()._mapping

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


_SELECT_DATASET = select(datasets).where(datasets.c.sha256 == bindparam("sha256"))
