"""Adoption: a person says which remote job is a job's, where the program must not choose."""

from __future__ import annotations

from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs import transitions
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs, outcomes


async def adopt_remote_job(database: Database, job_id: str, remote_job_id: str, *, by: str, now: float) -> Job:
    """Let the daemon take the remote job for this job's, once it has seen at the provider that it can be."""

    async def change(connection: StoreConnection) -> Job:
        job = await _get_ambiguous_job(connection, job_id)
        taken = [other for other in await jobs.list_by_accounts(connection, [job.account]) if other.id != job.id]
        if other := next((other for other in taken if other.remote_job_id == remote_job_id), None):
            raise ConfigError(
                f"remote job {remote_job_id} is that of job {other.id} already, which is {other.state}",
                hint="Choose one that the hint of `orchestrator status` names.",
            )
        outcome = transitions.request_adoption(job, remote_job_id, now=now)
        await outcomes.record(connection, outcome, at=now, cause=by)
        return outcome.job

    return await database.write(change)


async def _get_ambiguous_job(connection: StoreConnection, job_id: str) -> Job:
    job = (await jobs.get_many(connection, [JobId(job_id)])).get(JobId(job_id))
    if job is None:
        raise ConfigError(f"there is no job {job_id}", hint="`orchestrator status --json` tells each account's job.")
    if job.state is not JobState.SUBMITTING or job.hold is None:
        remote = f" and has remote job {job.remote_job_id}" if job.remote_job_id else ""
        raise ConfigError(
            f"job {job.id} of account {job.account} is {job.state}{remote}: there is nothing to choose",
            hint="Only a job that is held while its remote job is unclear needs a person's choice.",
        )
    return job
