"""Collects what the providers report before a plan is built: base models, dates, prices and deployments."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

from structlog.stdlib import BoundLogger

from orchestrator.core.errors import ProviderError
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import UNSUBMITTED_STATES
from orchestrator.core.plans.plan import DatabaseState, ProviderFacts
from orchestrator.core.plans.price import Quote
from orchestrator.core.plans.retirement import (
    find_retirement_hold,
    list_retirement_warnings,
    list_unknown_model_holds,
    list_untunable_holds,
    merge_retirements,
)
from orchestrator.planning.base_models import ReportedModels, fetch_base_models
from orchestrator.planning.deployment_forecasts import forecast_deployments
from orchestrator.planning.desired_state import DesiredState
from orchestrator.providers.base import JobOrder, ProviderConnection, QuoteProvider

QUOTE_TIMEOUT_SECONDS = 5.0  # short, because the price file is used where the provider does not respond
MAX_CONCURRENT_QUOTES = 10


async def gather_provider_facts(
    desired: DesiredState,
    database_state: DatabaseState,
    connections: Mapping[str, ProviderConnection],
    log: BoundLogger,
    now: float,
) -> tuple[ReportedModels, ProviderFacts]:
    """Return the base models, reported and published, and the holds, quotes and warnings that follow for the plan."""
    names = {account.provider: desired.run.specs[account.provider].base_model for account in desired.run.accounts}
    published = {name: retirement for name, retirement in desired.retirements.items() if name in names}
    facts = await fetch_base_models(desired.run.accounts, desired.run.specs, connections, log)
    models = merge_retirements(facts.reported, names, published)
    deployments = await forecast_deployments(desired.run, connections, log)
    not_servable = {each.provider: hold for each in deployments if (hold := each.hold)}
    return models, ProviderFacts(
        retirement=find_retirement_hold(models, now),
        untunable=not_servable | list_untunable_holds(models, now) | list_unknown_model_holds(facts.unknown),
        deployments=tuple(deployments),
        quotes=await fetch_quotes(desired, database_state, connections, log),
        warnings=tuple(list_retirement_warnings(models, now)),
    )


async def fetch_quotes(
    desired: DesiredState,
    database_state: DatabaseState,
    connections: Mapping[str, ProviderConnection],
    log: BoundLogger,
) -> dict[str, Quote]:
    """Return the provider's price of each job that has its file and is not submitted, by account.

    A job without an answer is left out.
    """
    slots = asyncio.Semaphore(MAX_CONCURRENT_QUOTES)

    async def fetch(job: Job) -> Quote | None:
        async with slots:
            return await _fetch_quote(job, desired, connections[job.account], log)

    jobs = [job for job in database_state.jobs.values() if _is_quotable(job, connections)]
    quotes = await asyncio.gather(*map(fetch, jobs))
    return {job.account: quote for job, quote in zip(jobs, quotes, strict=True) if quote}


def _is_quotable(job: Job, connections: Mapping[str, ProviderConnection]) -> bool:
    connection = connections.get(job.account)
    has_quotes = connection is not None and connection.provider.capabilities.has_quotes
    return has_quotes and job.remote_file_id is not None and job.state in UNSUBMITTED_STATES


async def _fetch_quote(
    job: Job, desired: DesiredState, connection: ProviderConnection, log: BoundLogger
) -> Quote | None:
    order = JobOrder(
        tag=job.tag,
        spec=desired.run.specs[job.provider],
        training_file=job.remote_file_id or "",
        validation_file=job.remote_validation_file_id,
    )
    try:
        async with asyncio.timeout(QUOTE_TIMEOUT_SECONDS):
            return await cast(QuoteProvider, connection.provider).quote(order)
    except (ProviderError, TimeoutError) as error:
        log.info("quote.failed", account=job.account, message=str(error))
        return None
