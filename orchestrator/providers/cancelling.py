"""Cancelling: the one way of it at every provider. A job that ended while it was being cancelled is no error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from orchestrator.core.errors import RemoteNotFound, RequestRejected
from orchestrator.core.remote import RemoteJob, RemoteJobStatus

TERMINAL_JOB_STATUSES: Final = frozenset(
    {RemoteJobStatus.SUCCEEDED, RemoteJobStatus.FAILED, RemoteJobStatus.CANCELLED, RemoteJobStatus.STOPPED}
)


async def cancel_and_get_job(cancel: Awaitable[object], get_job: Callable[[], Awaitable[RemoteJob]]) -> RemoteJob:
    """Ask for the job's end, then look at it. A refusal is one only for a job that has not ended."""
    try:
        await cancel
    except RemoteNotFound:
        raise
    except RequestRejected:
        job = await get_job()
        if job.status in TERMINAL_JOB_STATUSES:
            return job
        raise
    return await get_job()
