"""Queries about leftovers: what this database knows to be made by us and needed no more."""

from __future__ import annotations

from sqlalchemy import select

from orchestrator.core.dataset import local_name, remote_name
from orchestrator.core.job import RunId
from orchestrator.core.leftover import Holding, Kind, Leftover, unneeded_files
from orchestrator.core.lifecycle import ENDS, State
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.tables import datasets, jobs, runs, uploads

MAY_UPLOAD = frozenset({State.PLANNED, State.UPLOADING})


async def remote_files(connection: AsyncConnection) -> list[Leftover]:
    """Files at the providers."""
    query = (
        select(
            jobs.c.account,
            jobs.c.run_id,
            jobs.c.state,
            jobs.c.remote_file_id,
            jobs.c.remote_validation_file_id,
            datasets.c.training_sha256,
            datasets.c.validation_sha256,
        )
        .join(runs, runs.c.id == jobs.c.run_id)
        .join(datasets, datasets.c.sha256 == runs.c.dataset_sha256)
    )
    holdings = []
    for row in await connection.execute(query):
        sent = {row.remote_file_id: row.training_sha256, row.remote_validation_file_id: row.validation_sha256}
        files = {file: remote_name(sha256) for file, sha256 in sent.items() if file and sha256}
        holdings.append(Holding(account=row.account, run_id=RunId(row.run_id), ended=row.state in ENDS, files=files))
    return unneeded_files(holdings)


async def unfinished_uploads(connection: AsyncConnection) -> list[Leftover]:
    """Uploads in parts of jobs that have no use for them."""
    query = (
        select(uploads.c.remote_id, uploads.c.sha256, jobs.c.account)
        .join(jobs, jobs.c.id == uploads.c.job_id)
        .where(jobs.c.state.not_in(MAY_UPLOAD))
        .order_by(jobs.c.account, uploads.c.remote_id)
    )
    return [
        Leftover(kind=Kind.UPLOAD, account=row.account, id=row.remote_id, name=remote_name(row.sha256))
        for row in await connection.execute(query)
    ]


async def local_datasets(connection: AsyncConnection) -> list[Leftover]:
    """Files of datasets that neither the current run nor one with an open job trains on."""
    open_jobs = select(jobs.c.run_id).where(jobs.c.state.not_in(ENDS))
    needing = select(runs.c.dataset_sha256).where(runs.c.current.is_(True) | runs.c.id.in_(open_jobs))
    needed = set((await connection.execute(needing)).scalars())
    rows = (await connection.execute(select(datasets).order_by(datasets.c.created_at))).all()
    parts = [(row.sha256, part) for row in rows for part in (row.training_sha256, row.validation_sha256) if part]
    kept = {local_name(part) for dataset, part in parts if dataset in needed}
    names = dict.fromkeys(local_name(part) for _, part in parts)
    return [Leftover(kind=Kind.DATASET, account=None, id=name, name=name) for name in names if name not in kept]
