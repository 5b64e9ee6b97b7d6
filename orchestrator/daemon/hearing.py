"""Hearing: what the providers say before a plan is made, of its base models and its prices."""

from __future__ import annotations

from collections.abc import Mapping

from structlog.stdlib import BoundLogger

from orchestrator.core.plan import DatabaseState, ProviderFacts
from orchestrator.core.retirement import (
    find_retirement_hold,
    list_retirement_warnings,
    list_unknown_model_holds,
    list_untunable_holds,
    merge_retirements,
)
from orchestrator.daemon.desired import DesiredState
from orchestrator.daemon.models import ReportedModels, fetch_base_models
from orchestrator.daemon.quotes import fetch_quotes
from orchestrator.providers.base import ProviderConnection


async def gather_provider_facts(
    desired: DesiredState,
    database_state: DatabaseState,
    connections: Mapping[str, ProviderConnection],
    log: BoundLogger,
    now: float,
) -> tuple[ReportedModels, ProviderFacts]:
    """The base models as they were told and published, and what follows from all that was said."""
    names = {
        account.provider: desired.accounts_file.specs[account.provider].base_model
        for account in desired.accounts_file.accounts
    }
    published = {name: known for name, known in desired.retirements.items() if name in names}
    asked = await fetch_base_models(desired.accounts_file.accounts, desired.accounts_file.specs, connections, log)
    models = merge_retirements(asked.reported, names, published)
    return models, ProviderFacts(
        retirement=find_retirement_hold(models, now),
        untunable=list_untunable_holds(models, now) | list_unknown_model_holds(asked.unknown),
        quotes=await fetch_quotes(desired, database_state, connections, log),
        warnings=tuple(list_retirement_warnings(models, now)),
    )
