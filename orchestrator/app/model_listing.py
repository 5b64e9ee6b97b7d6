"""Lists the models that a provider offers to one account, before there is a run or a database."""

from __future__ import annotations

import asyncio
import os

from orchestrator.app.clock import SystemClock
from orchestrator.app.connections import Connections
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.core.errors import ConfigError, ProviderError, ProviderUnavailable
from orchestrator.core.secret import Redactor
from orchestrator.inputs.accounts_file.loader import AccountsFile
from orchestrator.inputs.prices import load_prices
from orchestrator.inputs.secrets.references import accepts_document, resolve_reference
from orchestrator.settings import Settings

LIST_TIMEOUT_SECONDS = 15.0


async def list_offered_models(file: AccountsFile, settings: Settings, redact: Redactor) -> list[str]:
    """Return the names of the models that the first account's provider lists, sorted.

    Raises ConfigError if the key cannot be read, and ProviderError if the provider does not list its models.
    """
    account = file.accounts[0]
    key = await asyncio.to_thread(
        resolve_reference,
        account.api_key,
        base_folder=file.folder,
        redact=redact,
        hidden_variables=file.key_variables,
        accepts_document=accepts_document(account),
    )
    connections = Connections(
        file.folder,
        OutboundNetwork(os.environ, settings.ca_file, redact),
        max_in_flight=settings.max_in_flight,
        redact=redact,
        clock=SystemClock().boottime,
    )
    try:
        connections.connect_accounts([account], {account.name: key})
        async with asyncio.timeout(LIST_TIMEOUT_SECONDS):
            return sorted(await connections.by_name[account.name].provider.list_models())
    except TimeoutError:
        raise ProviderUnavailable(f"no response within {LIST_TIMEOUT_SECONDS:g} s") from None
    finally:
        await connections.close()


def find_offered_models(file: AccountsFile, settings: Settings, redact: Redactor) -> tuple[list[str], str]:
    """Return the models that the provider lists, and the reason if there is no list."""
    try:
        return asyncio.run(list_offered_models(file, settings, redact)), ""
    except (ConfigError, ProviderError) as error:
        return [], redact(error.message)


def find_priced_model(provider: str, settings: Settings) -> str | None:
    """Return a base model of the provider that the price list knows, as a suggestion; None if it knows none."""
    return next((model for name, model in load_prices(settings.prices_file).entries if name == provider), None)
