"""Examination: everything in its order, from the environment outwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from orchestrator.app.clock import SystemClock
from orchestrator.app.connections import Connections
from orchestrator.app.doctor import inputs, machine, state
from orchestrator.app.doctor.diagnosis import Diagnosis, faults, fine
from orchestrator.app.doctor.outward import Outward
from orchestrator.app.doctor.providers import Skews, providers
from orchestrator.app.network import Network
from orchestrator.core.errors import ConfigError
from orchestrator.core.secret import Redactor, Secret
from orchestrator.settings import Settings, in_force, load_settings
from orchestrator.sources.accounts import AccountsFile, read_accounts
from orchestrator.sources.secrets import resolve_each


async def examine(environ: Mapping[str, str], redact: Redactor, *, online: bool) -> AsyncIterator[Diagnosis]:
    """Every diagnosis, as it is made. `online`: providers are asked whether they accept the keys; that is free."""
    for diagnosis in machine.program():
        yield diagnosis
    try:
        settings = load_settings(environ)
    except ConfigError as error:
        for diagnosis in faults("settings", error):
            yield diagnosis
        return
    given = sum(setting.source != "default" for setting in in_force(environ))
    yield fine("settings", f"{given} given, the others are defaults; `orchestrator config` prints them")
    clock = SystemClock()
    for diagnosis in machine.data_folder(settings.data_dir):
        yield diagnosis
    async for diagnosis in state.database(settings, clock):
        yield diagnosis
    async for diagnosis in _accounts(environ, settings, clock, redact, online=online):
        yield diagnosis


async def _accounts(
    environ: Mapping[str, str], settings: Settings, clock: SystemClock, redact: Redactor, *, online: bool
) -> AsyncIterator[Diagnosis]:
    try:
        file = read_accounts(settings.accounts_file)
    except ConfigError as error:
        for diagnosis in faults("accounts file", error):
            yield diagnosis
        return
    found = await asyncio.to_thread(
        resolve_each, file.accounts, base=file.folder, redact=redact, hidden=file.key_variables
    )
    outward = Outward(file, Network(environ, settings.ca_file, redact))
    for looked in (
        inputs.accounts_file(file),
        machine.needs(file),
        inputs.keys(file.accounts, found, file.folder),
        inputs.secrets(file, redact),
        outward.examine(redact),
        inputs.chats(file),
        inputs.validation_set(file),
        inputs.prices(file, settings.prices_file, clock.now()),
        inputs.retirements(file, settings.retirements_file, clock.now()),
    ):
        for diagnosis in looked:
            yield diagnosis
    if online and outward.usable:
        async for diagnosis in _online(file, settings, clock, redact, found, outward):
            yield diagnosis


async def _online(
    file: AccountsFile,
    settings: Settings,
    clock: SystemClock,
    redact: Redactor,
    found: Mapping[str, Secret | ConfigError],
    outward: Outward,
) -> AsyncIterator[Diagnosis]:
    keys = {name: key for name, key in found.items() if isinstance(key, Secret)}
    skews = Skews(clock.now)
    connections = Connections(
        file.folder,
        outward.network,
        max_in_flight=settings.max_in_flight,
        redact=redact,
        clock=clock.boottime,
        hear=skews.hear,
    )
    try:
        async for diagnosis in providers(connections, file.accounts, file.specs, keys, skews, outward.secrets):
            yield diagnosis
    finally:
        await connections.close()
