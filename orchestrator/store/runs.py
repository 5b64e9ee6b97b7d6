"""Queries about runs and their datasets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.core.dataset import Dataset, Part
from orchestrator.core.job import RunId
from orchestrator.core.run import Run
from orchestrator.store.rows import RUN_COLUMNS, run_from, run_row
from orchestrator.store.tables import datasets, runs


async def load(connection: AsyncConnection, run_id: RunId) -> Run:
    """The run with this id."""
    return run_from((await connection.execute(select(*RUN_COLUMNS).where(runs.c.id == run_id))).one())


async def find(connection: AsyncConnection, run_id: RunId) -> Run | None:
    """The run with this id, if there is one."""
    row = (await connection.execute(select(*RUN_COLUMNS).where(runs.c.id == run_id))).one_or_none()
    return run_from(row) if row else None


async def current(connection: AsyncConnection) -> Run | None:
    """The run that the accounts file asks for."""
    row = (await connection.execute(select(*RUN_COLUMNS).where(runs.c.current.is_(True)))).one_or_none()
    return run_from(row) if row else None


async def save(connection: AsyncConnection, run: Run) -> None:
    """Insert or replace; a current run takes the place of the one before."""
    if run.current:
        await connection.execute(update(runs).where(runs.c.id != run.id).values(current=False))
    changed = await connection.execute(update(runs).where(runs.c.id == run.id).values(run_row(run)))
    if changed.rowcount == 0:
        await connection.execute(insert(runs).values(run_row(run)))


async def save_dataset(connection: AsyncConnection, dataset: Dataset, at: float) -> None:
    """Remember a dataset; its bytes stay on disk."""
    known = select(datasets.c.sha256).where(datasets.c.sha256 == dataset.sha256)
    if (await connection.execute(known)).one_or_none() is None:
        parts = _columns("training", dataset.training) | _columns("validation", dataset.validation)
        await connection.execute(insert(datasets).values(sha256=dataset.sha256, created_at=at, **parts))


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """What is worth showing of a dataset."""

    examples: int
    tokens: int | None


async def dataset_row(connection: AsyncConnection, sha256: str) -> DatasetRow:
    """The dataset's figures, without its files."""
    query = select(datasets.c.training_examples, datasets.c.training_tokens).where(datasets.c.sha256 == sha256)
    return DatasetRow(*(await connection.execute(query)).one())


async def load_dataset(connection: AsyncConnection, sha256: str, folder: Path) -> Dataset:
    """A dataset whose JSONL lies in `folder`."""
    row = (await connection.execute(select(datasets).where(datasets.c.sha256 == sha256))).one()._mapping

    def part(name: str) -> Part | None:
        if row[f"{name}_sha256"] is None:
            return None
        return Part(
            path=folder / f"{row[f'{name}_sha256'][:16]}.jsonl",
            sha256=row[f"{name}_sha256"],
            bytes=row[f"{name}_bytes"],
            examples=row[f"{name}_examples"],
            tokens=row[f"{name}_tokens"],
        )

    training = part("training")
    assert training is not None
    return Dataset(training=training, validation=part("validation"))


def _columns(name: str, part: Part | None) -> dict[str, object]:
    if part is None:
        return {}
    return {f"{name}_{field}": getattr(part, field) for field in ("sha256", "bytes", "examples", "tokens")}
