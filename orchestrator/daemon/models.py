"""Models: what the providers say of the base models that a run would train."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from structlog.stdlib import BoundLogger

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import ProviderError
from orchestrator.core.remote import RemoteModel
from orchestrator.daemon.desired import Desired
from orchestrator.providers.base import Connection

PATIENCE = 5.0  # seconds for an answer that is worth having and not worth waiting for

Told = list[tuple[ProviderName, RemoteModel]]


async def base_models(desired: Desired, connections: Mapping[str, Connection], log: BoundLogger) -> Told:
    """Asked of one account of each provider. Who does not answer now is left out: the run does not depend on it."""
    speakers = {account.provider: account.name for account in reversed(desired.file.accounts)}
    wanted = [(name, speaker, desired.file.specs[name].base_model) for name, speaker in speakers.items()]
    answers = await asyncio.gather(*(_ask(connections[speaker], model, log) for _, speaker, model in wanted))
    return [(name, answer) for (name, _, _), answer in zip(wanted, answers, strict=True) if answer]


async def _ask(connection: Connection, model: str, log: BoundLogger) -> RemoteModel | None:
    account = connection.account
    try:
        async with asyncio.timeout(PATIENCE):
            found = await connection.provider.find_model(model)
    except (ProviderError, TimeoutError) as error:
        log.info("base_model.not_asked", account=account.name, base_model=model, message=str(error))
        return None
    if found is None:
        hint = "Check its name: a job on a base model that the provider does not have is refused."
        log.warning(
            "base_model.unknown", account=account.name, provider=account.provider, base_model=model, hint=hint
        )
    return found
