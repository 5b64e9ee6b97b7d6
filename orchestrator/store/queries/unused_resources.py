"""Queries about unused resources: files and uploads that this program created and no job needs any more."""

from __future__ import annotations

from sqlalchemy import select

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.dataset import local_filename, remote_filename
from orchestrator.core.jobs.job import JobId, RunId, format_tag
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.jobs.unused_resource import (
    EarlierFile,
    JobFiles,
    ResourceKind,
    UnusedResource,
    find_unused_files,
)
from orchestrator.core.providers import PROVIDERS
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.schema.tables import datasets, jobs, runs, uploads

FILE_PER_JOB_OPTION = "file_per_job"
UPLOADING_STATES = frozenset({JobState.PLANNED, JobState.UPLOADING})


async def list_unused_remote_files(connection: StoreConnection) -> list[UnusedResource]:
    """Return files at providers that no open job needs."""
    query = (
        select(
            jobs.c.id,
            jobs.c.round,
            jobs.c.provider,
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
    job_files = []
    for row in await connection.execute(query):
        hashes = {row.remote_file_id: row.training_sha256, row.remote_validation_file_id: row.validation_sha256}
        tag = _file_tag(row.provider, row.id, row.round)
        files = {file: remote_filename(sha256, tag=tag) for file, sha256 in hashes.items() if file and sha256}
        job_files.append(
            JobFiles(account=row.account, run_id=RunId(row.run_id), ended=row.state in TERMINAL_STATES, files=files)
        )
    return find_unused_files(job_files)


async def list_earlier_files(connection: StoreConnection) -> list[EarlierFile]:
    """Return the files of the earlier rounds of retried jobs, of runs whose jobs have all ended.

    At a server whose account may have the option `file_per_job` they may exist, whatever the option is now.
    """
    names = [
        name
        for name, offers in CAPABILITIES.items()
        if offers.has_file_per_job or FILE_PER_JOB_OPTION in PROVIDERS[name].account_options
    ]
    open_runs = select(jobs.c.run_id).where(jobs.c.state.not_in(TERMINAL_STATES))
    query = (
        select(jobs.c.id, jobs.c.round, jobs.c.provider, jobs.c.account, datasets)
        .join(runs, runs.c.id == jobs.c.run_id)
        .join(datasets, datasets.c.sha256 == runs.c.dataset_sha256)
        .where(jobs.c.round > 0, jobs.c.provider.in_(names), jobs.c.run_id.not_in(open_runs))
        .order_by(jobs.c.account, jobs.c.id)
    )
    return [
        EarlierFile(
            account=row["account"],
            wire_format=CAPABILITIES[ProviderName(row["provider"])].wire_format,
            tag=format_tag(JobId(row["id"]), number),
            sha256=row[f"{part}_sha256"],
            bytes=row[f"{part}_bytes"],
            examples=row[f"{part}_examples"],
        )
        for row in (await connection.execute(query)).mappings()
        for number in range(row["round"])
        for part in ("training", "validation")
        if row[f"{part}_sha256"]
    ]


async def list_unfinished_uploads(connection: StoreConnection) -> list[UnusedResource]:
    """Return multipart uploads of jobs that no longer upload."""
    query = (
        select(uploads.c.remote_id, uploads.c.sha256, jobs.c.account, jobs.c.id, jobs.c.round, jobs.c.provider)
        .join(jobs, jobs.c.id == uploads.c.job_id)
        .where(jobs.c.state.not_in(UPLOADING_STATES))
        .order_by(jobs.c.account, uploads.c.remote_id)
    )
    return [
        UnusedResource(
            kind=ResourceKind.UPLOAD,
            account=row.account,
            id=row.remote_id,
            name=remote_filename(row.sha256, tag=_file_tag(row.provider, row.id, row.round)),
        )
        for row in await connection.execute(query)
    ]


def _file_tag(provider: str, job_id: str, number: int) -> str | None:
    """Return the tag in the names of the job's files; None if the provider's files are shared between jobs."""
    has_file_per_job = CAPABILITIES[ProviderName(provider)].has_file_per_job
    return format_tag(JobId(job_id), number) if has_file_per_job else None


async def list_unused_dataset_files(connection: StoreConnection) -> list[UnusedResource]:
    """Return local dataset files that neither the current run nor a run with an open job uses."""
    open_jobs = select(jobs.c.run_id).where(jobs.c.state.not_in(TERMINAL_STATES))
    needed_by_runs = select(runs.c.dataset_sha256).where(runs.c.current.is_(True) | runs.c.id.in_(open_jobs))
    needed = set((await connection.execute(needed_by_runs)).scalars())
    rows = (await connection.execute(select(datasets).order_by(datasets.c.created_at))).all()
    parts = [(row.sha256, part) for row in rows for part in (row.training_sha256, row.validation_sha256) if part]
    kept = {local_filename(part) for dataset, part in parts if dataset in needed}
    names = dict.fromkeys(local_filename(part) for _, part in parts)
    return [
        UnusedResource(kind=ResourceKind.DATASET, account=None, id=name, name=name)
        for name in names
        if name not in kept
    ]
