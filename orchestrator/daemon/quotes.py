"""Quotes: what the providers themselves estimate that the jobs of a plan cost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

from structlog.stdlib import BoundLogger

from orchestrator.core.errors import ProviderError
from orchestrator.core.job import Job
from orchestrator.core.lifecycle import UNSUBMITTED_STATES
from orchestrator.core.plan import DatabaseState
from orchestrator.core.price import Quote
from orchestrator.daemon.desired import DesiredState
from orchestrator.providers.base import JobOrder, ProviderConnection, QuoteProvider

QUOTE_TIMEOUT_SECONDS = 5.0  # seconds for an answer that is worth having and not worth waiting for
MAX_CONCURRENT_QUOTES = 10


async def fetch_quotes(
    desired: DesiredState,
    database_state: DatabaseState,
    connections: Mapping[str, ProviderConnection],
    log: BoundLogger,
) -> dict[str, Quote]:
    """By account, for each job that is not submitted and whose file is there. Who does not answer is left out."""
    slots = asyncio.Semaphore(MAX_CONCURRENT_QUOTES)

    async def ask(job: Job) -> Quote | None:
        async with slots:
            return await _fetch_quote(job, desired, connections[job.account], log)

    jobs = [job for job in database_state.jobs.values() if _is_quotable(job, connections)]
    answers = await asyncio.gather(*map(ask, jobs))
    return {job.account: answer for job, answer in zip(jobs, answers, strict=True) if answer}


def _is_quotable(job: Job, connections: Mapping[str, ProviderConnection]) -> bool:
    connection = connections.get(job.account)
    quotes = connection is not None and connection.provider.capabilities.has_quotes
    return quotes and job.remote_file_id is not None and job.state in UNSUBMITTED_STATES


async def _fetch_quote(
    job: Job, desired: DesiredState, connection: ProviderConnection, log: BoundLogger
) -> Quote | None:
    order = JobOrder(
        tag=job.tag,
        spec=desired.accounts_file.specs[job.provider],
        training_file=job.remote_file_id or "",
        validation_file=job.remote_validation_file_id,
    )
    try:
        async with asyncio.timeout(QUOTE_TIMEOUT_SECONDS):
            return await cast(QuoteProvider, connection.provider).quote(order)
    except (ProviderError, TimeoutError) as error:
        log.info("price.not_told", account=job.account, message=str(error))
        return None
