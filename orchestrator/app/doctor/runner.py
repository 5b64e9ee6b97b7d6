"""Runs the checks in order: first the machine, then the operator's files, then the providers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

from orchestrator.app.clock import SystemClock
from orchestrator.app.connections import Connections
from orchestrator.app.doctor import database_checks, input_checks, machine_checks
from orchestrator.app.doctor.diagnosis import Diagnosis, diagnoses_from_error, ok_diagnosis
from orchestrator.app.doctor.network_checks import NetworkChecker
from orchestrator.app.doctor.provider_checks import ClockSkewRecorder, check_providers
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.core.errors import ConfigError
from orchestrator.core.secret import Redactor, Secret
from orchestrator.inputs.accounts_file.loader import AccountsFile, load_accounts_file
from orchestrator.inputs.accounts_file.runs import RunDefinition
from orchestrator.inputs.secrets.references import resolve_each_key
from orchestrator.settings import Settings, list_effective_settings, load_settings


async def run_checks(environ: Mapping[str, str], redact: Redactor, *, online: bool) -> AsyncIterator[Diagnosis]:
    """Yield each diagnosis as soon as it is known.

    `online` also verifies the keys with the providers, free of charge.
    """
    for diagnosis in machine_checks.check_program():
        yield diagnosis
    try:
        settings = load_settings(environ)
    except ConfigError as error:
        for diagnosis in diagnoses_from_error("settings", error):
            yield diagnosis
        return
    configured = sum(setting.source != "default" for setting in list_effective_settings(environ))
    yield ok_diagnosis(
        "settings", f"{configured or 'none'} set, the others have their defaults; `orchestrator config` prints them"
    )
    clock = SystemClock()
    for diagnosis in machine_checks.check_data_folder(settings.data_dir):
        yield diagnosis
    async for diagnosis in database_checks.check_database(settings, clock):
        yield diagnosis
    async for diagnosis in _check_accounts(environ, settings, clock, redact, online=online):
        yield diagnosis


async def _check_accounts(
    environ: Mapping[str, str], settings: Settings, clock: SystemClock, redact: Redactor, *, online: bool
) -> AsyncIterator[Diagnosis]:
    try:
        file = load_accounts_file(settings.accounts_file)
    except ConfigError as error:
        for diagnosis in diagnoses_from_error("accounts file", error):
            yield diagnosis
        return
    key_results = await asyncio.to_thread(
        resolve_each_key, file.accounts, base_folder=file.folder, redact=redact, hidden_variables=file.key_variables
    )
    network_checker = NetworkChecker(file, OutboundNetwork(environ, settings.ca_file, redact))
    for diagnoses in (
        input_checks.check_accounts_file(file),
        machine_checks.check_required_extras(file),
        input_checks.check_keys(file.accounts, key_results),
        input_checks.check_secret_files(file),
        input_checks.check_management_keys(file, redact),
        input_checks.check_secrets(file, redact),
        network_checker.check(redact),
        *(diagnoses for run in file.runs for diagnoses in _check_run(run, settings, clock.now())),
    ):
        for diagnosis in diagnoses:
            yield diagnosis
    if online and network_checker.is_usable:
        async for diagnosis in _check_online(file, settings, clock, redact, key_results, network_checker):
            yield diagnosis


def _check_run(run: RunDefinition, settings: Settings, now: float) -> Iterator[Iterator[Diagnosis]]:
    yield input_checks.check_dataset(run)
    yield input_checks.check_validation_set(run)
    yield input_checks.check_prices(run, settings.prices_file, now)
    yield input_checks.check_retirements(run, settings.retirements_file, now)


async def _check_online(
    file: AccountsFile,
    settings: Settings,
    clock: SystemClock,
    redact: Redactor,
    key_results: Mapping[str, Secret | ConfigError],
    network_checker: NetworkChecker,
) -> AsyncIterator[Diagnosis]:
    keys = {name: key for name, key in key_results.items() if isinstance(key, Secret)}
    skew_recorder = ClockSkewRecorder(clock.now)
    connections = Connections(
        file.folder,
        network_checker.network,
        max_in_flight=settings.max_in_flight,
        redact=redact,
        clock=clock.boottime,
        on_response=skew_recorder.record_response,
    )
    try:
        async for diagnosis in check_providers(
            connections, file.accounts, file.runs, keys, skew_recorder, network_checker.proxy_secrets
        ):
            yield diagnosis
    except ConfigError as error:  # a package is not installed
        for diagnosis in diagnoses_from_error("program", error):
            yield diagnosis
    finally:
        await connections.close()
