"""Models: what the providers say of the base models that a run would train."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from structlog.stdlib import BoundLogger

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import ProviderError
from orchestrator.core.remote import RemoteModel
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.base import Provider, ProviderConnection

MODEL_LOOKUP_TIMEOUT_SECONDS = 5.0  # seconds for an answer that is worth having and not worth waiting for

ReportedModels = list[tuple[ProviderName, RemoteModel]]

TimeLimit = Callable[[float], AbstractAsyncContextManager[object]]
"""Ends what takes more seconds than that, with TimeoutError."""


@dataclass(frozen=True, slots=True)
class BaseModelFacts:
    """What was told of base models; and those that are certainly not there, with what is listed instead."""

    reported: ReportedModels
    unknown: Mapping[ProviderName, tuple[str, Sequence[str]]]


async def fetch_base_models(
    accounts: Sequence[Account],
    specs: Mapping[ProviderName, TrainingSpec],
    connections: Mapping[str, ProviderConnection],
    log: BoundLogger | None = None,
) -> BaseModelFacts:
    """Asked of one account of each provider. Who does not answer now is left out: the run does not depend on it."""
    speakers = {account.provider: account.name for account in reversed(accounts) if account.name in connections}
    wanted = [(name, connections[speaker], specs[name].base_model) for name, speaker in speakers.items()]
    answers = await asyncio.gather(*(_fetch_base_model(connection, model, log) for _, connection, model in wanted))
    told, unknown = [], {}
    for (name, _, model), answer in zip(wanted, answers, strict=True):
        if isinstance(answer, RemoteModel):
            told.append((name, answer))
        elif answer:
            unknown[name] = (model, answer)
    return BaseModelFacts(told, unknown)


async def find_base_model(
    provider: Provider, model: str, time_limit: TimeLimit = asyncio.timeout
) -> RemoteModel | Sequence[str] | None:
    """Return what the provider says of a base model; what it lists in its place; None where it has no such list.

    Raises ProviderError, and TimeoutError after five seconds.
    """
    async with time_limit(MODEL_LOOKUP_TIMEOUT_SECONDS):
        if found := await provider.find_model(model):
            return found
        listed = await provider.list_models()
    # A server may list a model and have no page for it, or list it with a version behind its name.
    is_listed = any(name == model or name.startswith((f"{model}-", f"{model}:")) for name in listed)
    return None if is_listed or not listed else listed


async def _fetch_base_model(
    connection: ProviderConnection, model: str, log: BoundLogger | None
) -> RemoteModel | Sequence[str]:
    """The base model; or what the provider lists in its place, nothing where that is not certain."""
    account = connection.account
    try:
        answer = await find_base_model(connection.provider, model)
    except (ProviderError, TimeoutError) as error:
        if log:
            log.info("base_model.lookup_failed", account=account.name, base_model=model, message=str(error))
        return []
    if log and not isinstance(answer, RemoteModel):
        hint = "Check its name: a job on a base model that the provider does not have is refused."
        log.warning(
            "base_model.unknown", account=account.name, provider=account.provider, base_model=model, hint=hint
        )
    return answer or []
