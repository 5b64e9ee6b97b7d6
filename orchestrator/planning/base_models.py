"""Fetches what the providers report about the base models of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from structlog.stdlib import BoundLogger

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ProviderError
from orchestrator.core.remote import RemoteModel
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import Struct
from orchestrator.providers.base import Provider, ProviderConnection

MODEL_LOOKUP_TIMEOUT_SECONDS = 5.0  # short, because a plan is possible without the answer

ReportedModels = list[tuple[ProviderName, RemoteModel]]

TimeLimit = Callable[[float], AbstractAsyncContextManager[object]]
"""A context that raises TimeoutError after so many seconds, such as `asyncio.timeout`."""


class BaseModelFacts(Struct, frozen=True):
    """What the providers reported about the base models of a run."""

    reported: ReportedModels  # the models that exist, with their limits and dates
    unknown: Mapping[ProviderName, tuple[str, Sequence[str]]]  # a model that certainly does not exist; those that do


async def fetch_base_models(
    accounts: Sequence[Account],
    specs: Mapping[ProviderName, TrainingSpec],
    connections: Mapping[str, ProviderConnection],
    log: BoundLogger | None = None,
) -> BaseModelFacts:
    """Fetch the base model of each provider with the first of its accounts.

    A provider that does not respond now is left out: the run does not depend on its answer.
    """
    first_accounts = {account.provider: account.name for account in reversed(accounts) if account.name in connections}
    lookups = [(name, connections[account], specs[name].base_model) for name, account in first_accounts.items()]
    answers = await asyncio.gather(*(_fetch_base_model(connection, model, log) for _, connection, model in lookups))
    reported, unknown = [], {}
    for (name, _, model), answer in zip(lookups, answers, strict=True):
        if isinstance(answer, RemoteModel):
            reported.append((name, answer))
        elif answer:
            unknown[name] = (model, answer)
    return BaseModelFacts(reported, unknown)


async def find_base_model(
    provider: Provider, model: str, time_limit: TimeLimit = asyncio.timeout
) -> RemoteModel | Sequence[str] | None:
    """Return the base model; the models that exist if it certainly does not; None where that is uncertain.

    Raises ProviderError, and TimeoutError after MODEL_LOOKUP_TIMEOUT_SECONDS.
    """
    async with time_limit(MODEL_LOOKUP_TIMEOUT_SECONDS):
        if remote_model := await provider.find_model(model):
            return remote_model
        listed = await provider.list_models()
    # A server may list a model that it does not return by name, or list it with a version after its name.
    is_listed = any(name == model or name.startswith((f"{model}-", f"{model}:")) for name in listed)
    return None if is_listed or not listed else listed


async def _fetch_base_model(
    connection: ProviderConnection, model: str, log: BoundLogger | None
) -> RemoteModel | Sequence[str]:
    """Return the base model, or the models that exist if it certainly does not; log what cannot be used."""
    account = connection.account
    try:
        answer = await find_base_model(connection.provider, model)
    except (ProviderError, TimeoutError) as error:
        if log:
            log.info("base_model.lookup_failed", account=account.name, base_model=model, message=str(error))
        return []
    if log and not isinstance(answer, RemoteModel):
        hint = "Check the name of the base model: the provider rejects jobs on a model that it does not have."
        log.warning(
            "base_model.unknown", account=account.name, provider=account.provider, base_model=model, hint=hint
        )
    return answer or []
