"""Cancelling: the one way of it at every provider. A job that ended while it was being cancelled is no error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from orchestrator.core.errors import RemoteMissing, RequestRejected
from orchestrator.core.remote import JobStatus, RemoteJob

ENDED: Final = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.STOPPED})


async def cancelled(ask: Awaitable[object], look: Callable[[], Awaitable[RemoteJob]]) -> RemoteJob:
    """Ask for the job's end, then look at it. A refusal is one only for a job that has not ended."""
    try:
        await ask
    except RemoteMissing:
        raise
    except RequestRejected:
        job = await look()
        if job.status in ENDED:
            return job
        raise
    return await look()
