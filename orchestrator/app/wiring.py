"""Wiring: creates the parts of a process from its settings, offers them to the commands, and closes them."""

# Theory of operation
#
# One App exists per process. `App.__init__` creates the parts that every command may need; none of them opens a file
# or a connection yet. What only some commands need is created at first use (`metrics`, `moderation_pool`) or by
# request (`create_service`, `create_web_server`), with lazy imports, because `status` should not pay for `serve`.
#
# The central use case, to apply the accounts file, is in `accounts_file_applier`.
#
# `close` runs in the reverse order of use: first the child processes are killed, because threads wait for them, then
# the workers stop, then the HTTP clients close, and the database closes last, because all others may write to it.

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import Collection
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from orchestrator import status
from orchestrator.app.clock import SystemClock
from orchestrator.app.connections import Connections
from orchestrator.app.database import open_database
from orchestrator.app.file_descriptors import compute_max_connections, raise_descriptor_limit
from orchestrator.app.notification_targets import NotificationTargets
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.app.webhook_receiver import WebhookReceiver
from orchestrator.control.accounts import unknown_accounts_error
from orchestrator.control.runs import get_current_run
from orchestrator.core.account import AccountIdentity
from orchestrator.core.account_state import AccountState
from orchestrator.core.jobs.observer import NULL_OBSERVER, ServiceObserver
from orchestrator.core.secret import Redactor
from orchestrator.daemon.deployments.run_deployments import RunDeploymentTable
from orchestrator.daemon.missing_key_watcher import MissingKeyWatcher
from orchestrator.settings import Settings
from orchestrator.store.db.transaction import EventData
from orchestrator.store.queries import accounts, events
from orchestrator.system.child_processes import ChildProcesses

if TYPE_CHECKING:
    from orchestrator.app.accounts_file_applier import AccountsFileApplier, PlannedFile
    from orchestrator.app.comparisons import ComparisonDesk
    from orchestrator.app.deployment_prices import DeploymentPriceFinder
    from orchestrator.app.desired_state_loader import DesiredStateLoader
    from orchestrator.app.service_factory import ServiceParts
    from orchestrator.daemon.maintenance.cleanup import ResourceCleaner
    from orchestrator.daemon.moderation_pool import ModerationPool
    from orchestrator.daemon.service import AppliedFile, Service
    from orchestrator.dataset.moderation.runner import ModerationResult
    from orchestrator.dataset.read.source_files import DatasetPaths
    from orchestrator.metrics import MetricsRecorder
    from orchestrator.web.server import WebServer

SERVICE_CAUSE = "service"  # the cause of events that no operator caused
MAX_EVENT_STREAMS = 200  # and at most half of the connections, so that other requests remain possible
MAX_REQUEST_HEADER_SECONDS = 10.0  # no client needs longer for a request without its body


class App:
    """The parts of one process, and the use cases of the commands. Created by `open_app`."""

    def __init__(self, settings: Settings, redact: Redactor) -> None:
        self.settings = settings
        self.is_empty = False  # True: there is no database yet, and a temporary empty one replaces it
        self.clock = SystemClock()
        self.database = open_database(settings.database_url, self.clock.now)
        self.log = structlog.get_logger("orchestrator")
        self.replica_id = uuid.uuid4().hex[:12]  # random: two processes on one machine are two replicas
        self.redact = redact
        self.child_processes = ChildProcesses()
        self.network = OutboundNetwork(os.environ, settings.ca_file, redact)
        self.connections = Connections(
            settings.accounts_file.parent,
            self.network,
            child_processes=self.child_processes,
            max_in_flight=settings.max_in_flight,
            redact=redact,
            clock=self.clock.boottime,
            find_identity=self._find_identity,
        )
        self.run_deployments = RunDeploymentTable()
        self.missing_key_watcher = MissingKeyWatcher(self.connections.has_key, self.clock.boottime)
        self.notification_targets = NotificationTargets(redact, self.network)
        self.webhook_receiver = WebhookReceiver(self.connections.parse_webhook, self.log)

    @cached_property
    def loader(self) -> DesiredStateLoader:
        """Loads the accounts file, the keys and the chats."""
        from orchestrator.app.desired_state_loader import DesiredStateLoader  # lazy: `status` reads the database only

        return DesiredStateLoader(
            self.settings,
            self.dataset_folder,
            redact=self.redact,
            child_processes=self.child_processes,
            connections=self.connections,
            missing_key_watcher=self.missing_key_watcher,
            webhook_receiver=self.webhook_receiver,
        )

    @cached_property
    def metrics(self) -> MetricsRecorder:
        """The metrics of this process."""
        from orchestrator.metrics import MetricsRecorder  # lazy: only `serve` and `demo` need it

        return MetricsRecorder(version("orchestrator"))

    async def close(self) -> None:
        """Close all parts. Child processes are killed first, so that no thread waits for one any more."""
        self.child_processes.kill_all()
        if "moderation_pool" in vars(self):  # created at first use
            await self.moderation_pool.stop()
        await self.notification_targets.close()
        await self.connections.close()
        self.network.close()
        await self.database.close()

    @property
    def dataset_folder(self) -> Path:
        """The folder of the canonical JSONL files."""
        return self.settings.data_dir / "datasets"

    async def get_account_states(self) -> dict[str, AccountState]:
        """Return the stored state of each account by name."""
        async with self.database.read() as connection:
            return await accounts.list_all(connection)

    async def _find_identity(self, name: str) -> AccountIdentity | None:
        """Return the stored identity of an account; None for an unknown account.

        It is that of the last verification, also while the account must be verified again, after a release for
        instance: another key must not change the owner. Before the first one it is that of the accounts file.
        """
        async with self.database.read() as connection:
            state = (await accounts.get_many(connection, [name])).get(name)
        return None if state is None else AccountIdentity(state.organization, state.project)

    async def list_events(self, account: str) -> list[EventData]:
        """Return the events of an account, oldest first. Raises ConfigError for an unknown name."""
        async with self.database.read() as connection:
            account_events = await events.list_by_account(connection, account)
        if not account_events:
            await self.check_account(account)
        return account_events

    async def check_account(self, account: str) -> None:
        """Raise ConfigError if no account has this name."""
        known = await self.get_account_states()
        if account not in known:
            raise unknown_accounts_error([account], known)

    @cached_property
    def accounts_file_applier(self) -> AccountsFileApplier:
        """Plans and applies the accounts file."""
        from orchestrator.app.accounts_file_applier import AccountsFileApplier  # lazy: it imports the whole service

        return AccountsFileApplier(
            self.database,
            self.loader,
            connections=self.connections,
            notification_targets=self.notification_targets,
            moderation_pool=self.moderation_pool,
            run_deployments=self.run_deployments,
            clock=self.clock,
            log=self.log,
        )

    async def build_plans(self, run: str | None = None) -> PlannedFile:
        """Plan the run with this name, or all runs of the accounts file, without storing or sending anything."""
        return await self.accounts_file_applier.build_plans(None if run is None else [run])

    async def create_resource_cleaner(self) -> ResourceCleaner:
        """Create the cleaner of resources that finished runs no longer need, for all listed accounts."""
        from orchestrator.daemon.maintenance.cleanup import ResourceCleaner

        await self.loader.load_accounts()
        return ResourceCleaner(
            self.database,
            self.connections.by_name,
            self.dataset_folder,
            max_concurrent_requests=self.settings.max_in_flight,
        )

    @cached_property
    def deployment_prices(self) -> DeploymentPriceFinder:
        """Asks the providers for the prices of deployments."""
        from orchestrator.app.deployment_prices import DeploymentPriceFinder

        return DeploymentPriceFinder(self.connections.by_name, self.clock.boottime)

    @cached_property
    def moderation_pool(self) -> ModerationPool:
        """The workers that moderate the chats of the current runs."""
        from orchestrator.daemon.moderation_pool import ModerationPool  # lazy: `status` does not moderate
        from orchestrator.daemon.moderation_worker import ModerationWorker

        return ModerationPool(
            lambda turn: ModerationWorker(
                self.database,
                self.connections.by_name,
                identify=self.connections.identify,
                replica=self.replica_id,
                tokens_per_minute=self.settings.moderation_tokens_per_minute,
                clock=self.clock,
                jitter=random.random,
                log=self.log,
                turn=turn,
            )
        )

    def create_service(
        self,
        *,
        start: bool,
        observer: ServiceObserver = NULL_OBSERVER,
        watch_dataset: bool = False,
        run: str | None = None,
        deploys: bool = False,
    ) -> Service:
        """Create the service, ready to be started. Without `start` it uploads files and creates no job.

        Only with `deploys` it creates deployments: it must then stay, because it also stops them.

        With `run` it applies only the run with this name, and leaves the others as they are.
        `observer` receives measurements, usually `metrics`. With `watch_dataset` a change of the chats is applied
        like a change of the accounts file.
        """
        if watch_dataset and self.settings.dataset_watch_seconds:
            from orchestrator.daemon.dataset_watcher import DatasetWatcher
            from orchestrator.dataset.read.source_files import compute_fingerprint

            self.loader.dataset_watcher = DatasetWatcher(self.settings.dataset_watch_seconds, compute_fingerprint)

        async def converge(only: Collection[str] | None) -> AppliedFile:
            selected = only if run is None else [run]
            return await self.accounts_file_applier.apply(start=start, cause=SERVICE_CAUSE, only=selected)

        from orchestrator.app.service_factory import build_service  # lazy: read-only commands do not need it

        return build_service(self.get_service_parts(asks=deploys), converge, observer, deploys=deploys)

    @cached_property
    def comparison_desk(self) -> ComparisonDesk:
        """Plans and asks comparisons with the version of the accounts file that is in force."""
        from orchestrator.app.comparisons import ComparisonDesk

        return ComparisonDesk(self, reads_file=False)

    def get_service_parts(self, *, asks: bool = False) -> ServiceParts:
        """Return the parts that a service uses. With `asks` it runs the requested comparisons."""
        from orchestrator.app.service_factory import ServiceParts

        return ServiceParts(
            settings=self.settings,
            database=self.database,
            clock=self.clock,
            log=self.log,
            redact=self.redact,
            replica_id=self.replica_id,
            dataset_folder=self.dataset_folder,
            connections=self.connections,
            run_deployments=self.run_deployments,
            notification_targets=self.notification_targets,
            moderation_pool=self.moderation_pool,
            missing_key_watcher=self.missing_key_watcher,
            dataset_watcher=self.loader.dataset_watcher,
            comparison_desk=self.comparison_desk if asks else None,
        )

    def create_web_server(self, service: Service, stopping: asyncio.Event) -> WebServer:
        """Create the web server of the API and the dashboard. Raises the process's limit of open files.

        `stopping` ends its event streams. Raises ConfigError if the limit is too low.
        """
        from orchestrator.app.web_backend import AppWebBackend, redact_environment_tokens
        from orchestrator.web.app import create_app
        from orchestrator.web.limited_protocol import ConnectionLimits
        from orchestrator.web.server import WebServer

        settings = self.settings
        max_connections = compute_max_connections(
            raise_descriptor_limit(), max_in_flight=settings.max_in_flight, requested=settings.max_connections
        )
        redact_environment_tokens(settings, self.redact)
        backend = AppWebBackend(
            self.database,
            settings,
            service,
            self.webhook_receiver,
            self.clock,
            self.log,
            self.metrics,
            self.connections.get_listed_accounts,
            get_deployment_tables=self.loader.get_deployment_tables,
            find_deployment_price=self.deployment_prices.find_price,
            plan_comparison=self.comparison_desk.plan,
            ask_models=self.comparison_desk.ask,
        )
        return WebServer(
            create_app(backend.build(stopping, max_event_streams=min(MAX_EVENT_STREAMS, max_connections // 2))),
            settings.host,
            settings.port,
            ConnectionLimits(
                max_connections=max_connections,
                header_seconds=min(MAX_REQUEST_HEADER_SECONDS, settings.request_seconds),
                request_seconds=settings.request_seconds,
            ),
        )

    async def read_status(self, run_name: str | None = None) -> status.StatusSnapshot:
        """Return a snapshot of all current runs, or of the current run with this name."""
        snapshot = await status.get_status(self.database, self.clock.now(), run_name=run_name)
        if run_name is not None and snapshot.run is None:
            async with self.database.read() as connection:
                await get_current_run(connection, run_name)  # raises with the names of the current runs
        return snapshot

    async def get_moderation(self, chats: DatasetPaths) -> ModerationResult:
        """Return the stored moderation verdicts of these chats. Sends no request."""
        from orchestrator.planning.moderation import load_cached_moderation

        return await load_cached_moderation(chats, self.database)
