"""Quotes: what the providers themselves estimate that the jobs of a plan cost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

from structlog.stdlib import BoundLogger

from orchestrator.core.errors import ProviderError
from orchestrator.core.job import Job
from orchestrator.core.lifecycle import UNSENT
from orchestrator.core.plan import Known
from orchestrator.core.price import Quote
from orchestrator.daemon.desired import Desired
from orchestrator.providers.base import Connection, JobOrder, Quoting

PATIENCE = 5.0  # seconds for an answer that is worth having and not worth waiting for
AT_ONCE = 10


async def quotes(
    desired: Desired, known: Known, connections: Mapping[str, Connection], log: BoundLogger
) -> dict[str, Quote]:
    """By account, for each job that is not submitted and whose file is there. Who does not answer is left out."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def ask(job: Job) -> Quote | None:
        async with slots:
            return await _ask(job, desired, connections[job.account], log)

    jobs = [job for job in known.jobs.values() if _can_be_asked(job, connections)]
    answers = await asyncio.gather(*map(ask, jobs))
    return {job.account: answer for job, answer in zip(jobs, answers, strict=True) if answer}


def _can_be_asked(job: Job, connections: Mapping[str, Connection]) -> bool:
    connection = connections.get(job.account)
    quotes = connection is not None and connection.provider.capabilities.quotes
    return quotes and job.remote_file_id is not None and job.state in UNSENT


async def _ask(job: Job, desired: Desired, connection: Connection, log: BoundLogger) -> Quote | None:
    order = JobOrder(
        tag=job.tag,
        spec=desired.file.specs[job.provider],
        training_file=job.remote_file_id or "",
        validation_file=job.remote_validation_file_id,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            return await cast(Quoting, connection.provider).quote(order)
    except (ProviderError, TimeoutError) as error:
        log.info("price.not_told", account=job.account, message=str(error))
        return None
