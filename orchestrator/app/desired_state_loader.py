"""Loads what the operator wants: the accounts file with its keys and chats, and connects its accounts."""

# Theory of operation
#
# Loading has effects beyond its result: afterwards the accounts can be reached (`connections`), webhooks are accepted
# for accounts with a webhook secret, and accounts without a key are watched until their key appears. These parts are
# configured only after everything was read and validated. A faulty accounts file therefore raises an error and leaves
# the previous accounts connected, which is what a running service relies on. If no key at all can be read, the keys
# of the faulty file are watched: nothing else would tell the service to read the file again.
#
# Reading is slow: keys may come from commands, and the chats are read in a child process. It runs in a thread while
# another thread imports the provider modules, which takes a third of a second. A thread cannot be cancelled. When the
# program stops, the child processes that the thread waits for are killed instead, and the thread gets
# STOP_GRACE_SECONDS to delete the temporary files of the killed build.

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.app.connections import Connections
from orchestrator.app.webhook_receiver import WebhookReceiver
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.comparison.comparison import ComparisonSettings
from orchestrator.core.deployment.deployment_spec import DeploymentSpec
from orchestrator.core.errors import ConfigError
from orchestrator.core.secret import Redactor
from orchestrator.daemon.dataset_watcher import DatasetWatcher
from orchestrator.daemon.missing_key_watcher import MissingKeyWatcher
from orchestrator.inputs.accounts_file.loader import AccountsFile, load_accounts_file
from orchestrator.inputs.accounts_file.runs import RunDefinition
from orchestrator.inputs.accounts_file.targets import list_proxy_references
from orchestrator.inputs.secrets.references import AccountKeys, NoAccountKeys, resolve_account_keys, resolve_secrets
from orchestrator.planning.input_loader import LoadedInputs, load_inputs
from orchestrator.settings import Settings
from orchestrator.system.child_processes import ChildProcesses

if TYPE_CHECKING:
    from orchestrator.dataset.read.source_files import DatasetPaths

STOP_GRACE_SECONDS = 1.0  # for the reading thread to return after its child process was killed
BYTES_PER_MB = 1 << 20


class DesiredStateLoader:
    """Loads the accounts file, and configures the parts that depend on it."""

    def __init__(
        self,
        settings: Settings,
        dataset_folder: Path,
        *,
        redact: Redactor,
        child_processes: ChildProcesses,
        connections: Connections,
        missing_key_watcher: MissingKeyWatcher,
        webhook_receiver: WebhookReceiver,
    ) -> None:
        self.dataset_watcher: DatasetWatcher | None = None  # set by `serve`: its baseline is taken before each read
        self._runs: Mapping[str, RunDefinition] = {}  # of the accounts file that was loaded last, by name
        self._settings = settings
        self._dataset_folder = dataset_folder
        self._redact = redact
        self._child_processes = child_processes
        self._connections = connections
        self._missing_key_watcher = missing_key_watcher
        self._webhook_receiver = webhook_receiver

    async def load(self, only: Collection[str] | None = None) -> LoadedInputs:
        """Load accounts, keys and the chats of the runs named in `only` (None: all), and connect the accounts.

        Raises ConfigError, and DatasetError if the file describes one run and its chats cannot be used.
        """
        settings = self._settings
        memory_mb = settings.dataset_memory_mb
        reading = asyncio.to_thread(
            load_inputs,
            settings.accounts_file,
            self._dataset_folder,
            self._redact,
            only=only,
            prices_file=settings.prices_file,
            retirements_file=settings.retirements_file,
            memory=None if memory_mb is None else memory_mb * BYTES_PER_MB,
            children=self._child_processes,
            before_read=self._set_dataset_baseline,
        )
        try:
            loaded = await self._await_unless_cancelled(reading)
        except NoAccountKeys as error:  # the file stays refused, but not for longer than its keys are missing
            self._missing_key_watcher.watch(error.accounts)
            raise
        accounts = loaded.accounts_file.accounts
        if self.dataset_watcher is not None:
            self.dataset_watcher.retain([run.options.name for run in loaded.accounts_file.runs])
        self._connections.connect_accounts(accounts, loaded.keys.by_account, loaded.secrets)
        self._set_runs(loaded.accounts_file)
        self._missing_key_watcher.watch([account for account in accounts if account.name in loaded.keys.missing])
        self._webhook_receiver.configure(accounts, loaded.secrets)
        return loaded

    async def load_accounts(self) -> tuple[AccountsFile, AccountKeys]:
        """Load the accounts and their keys without the chats, and connect the accounts. Raises ConfigError."""
        file = await asyncio.to_thread(load_accounts_file, self._settings.accounts_file)
        keys = await asyncio.to_thread(
            resolve_account_keys,
            file.accounts,
            base_folder=file.folder,
            redact=self._redact,
            hidden_variables=file.key_variables,
            children=self._child_processes,
        )
        secrets = await asyncio.to_thread(
            resolve_secrets,
            list(list_proxy_references(file.accounts)),
            base_folder=file.folder,
            redact=self._redact,
            hidden_variables=file.key_variables,
            children=self._child_processes,
        )
        self._connections.connect_accounts(file.accounts, keys.by_account, secrets)
        self._set_runs(file)
        return file, keys

    def get_deployment_tables(self, run_name: str) -> Mapping[ProviderName, DeploymentSpec]:
        """Return the tables `[run.PROVIDER.deployment]` of the run with this name; none for an unknown run."""
        run = self._runs.get(run_name)
        return run.deployments if run else {}

    def get_comparison_settings(self, run_name: str) -> ComparisonSettings:
        """Return the table `[run.comparison]` of the run with this name; the defaults for an unknown run."""
        run = self._runs.get(run_name)
        return run.comparison if run else ComparisonSettings()

    def _set_runs(self, file: AccountsFile) -> None:
        self._runs = {run.options.name: run for run in file.runs}

    async def load_listed_accounts(self) -> dict[str, Account]:
        """Load the accounts by name without their keys; connects nothing. Raises ConfigError."""
        file = await asyncio.to_thread(load_accounts_file, self._settings.accounts_file)
        return {account.name: account for account in file.accounts}

    async def read_gates(self) -> dict[str, bool]:
        """Return whether the accounts file turns on the gate, by run name; nothing if it cannot be read."""
        try:
            file = await asyncio.to_thread(load_accounts_file, self._settings.accounts_file)
        except ConfigError:
            return {}
        return {run.options.name: run.options.gate for run in file.runs}

    def _set_dataset_baseline(self, run: str, paths: DatasetPaths) -> None:
        """Take the watcher's baseline before the chats are read: a change during the read counts as a new change."""
        if self.dataset_watcher is not None:
            self.dataset_watcher.set_baseline(run, paths)

    async def _await_unless_cancelled(self, reading: Coroutine[Any, Any, LoadedInputs]) -> LoadedInputs:
        """Await the reading thread; on cancellation kill its child processes and let it clean up."""
        task = asyncio.create_task(reading)
        try:
            loaded, _ = await asyncio.gather(
                asyncio.shield(task), asyncio.to_thread(self._connections.import_providers)
            )
        except asyncio.CancelledError:
            self._child_processes.kill_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_GRACE_SECONDS):
                    await asyncio.gather(task, return_exceptions=True)
            raise
        return loaded
