"""App: wiring. Builds everything once from the settings, owns the clock, knows every concrete class."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from orchestrator import control, status
from orchestrator.app.clock import SystemClock
from orchestrator.app.connections import Connections
from orchestrator.app.database import has_database, import_wakeup_queue, open_database
from orchestrator.app.file_descriptors import compute_max_connections, raise_descriptor_limit
from orchestrator.app.notification_targets import NotificationTargets
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.app.webhook_receiver import WebhookReceiver
from orchestrator.control.accounts import unknown_accounts_error
from orchestrator.core.account import Account, AccountIdentity
from orchestrator.core.errors import ConfigError
from orchestrator.core.finding import FindingSummary
from orchestrator.core.hold import SELF_RELEASING_HOLD_KINDS
from orchestrator.core.jobs.observer import NULL_OBSERVER, ServiceObserver
from orchestrator.core.jobs.run import AccountState
from orchestrator.core.plans.plan import Plan, PlanStep
from orchestrator.core.secret import Redactor
from orchestrator.daemon.dataset_watcher import DatasetWatcher
from orchestrator.daemon.maintenance import model_expiry
from orchestrator.daemon.missing_key_watcher import MissingKeyWatcher
from orchestrator.daemon.moderation_worker import ModerationWorker
from orchestrator.daemon.service import Service
from orchestrator.inputs.accounts_file.loader import AccountsFile, load_accounts_file
from orchestrator.inputs.accounts_file.targets import list_proxy_references
from orchestrator.inputs.secrets.references import AccountKeys, resolve_account_keys, resolve_secrets
from orchestrator.planning.desired_state import DesiredState, load_desired_state
from orchestrator.planning.moderation import build_pending_moderation, find_known_moderation, load_cached_moderation
from orchestrator.planning.provider_facts import gather_provider_facts
from orchestrator.settings import Settings
from orchestrator.store.queries import accounts, events
from orchestrator.system.child_processes import ChildProcesses
from orchestrator.system.private_files import create_private_folder

if TYPE_CHECKING:
    from orchestrator.daemon.maintenance.cleanup import ResourceCleaner
    from orchestrator.dataset.moderation.runner import ModerationResult
    from orchestrator.dataset.read.source_files import DatasetPaths
    from orchestrator.metrics import MetricsRecorder
    from orchestrator.web.server import WebServer

SERVICE_CAUSE = "service"
MAX_EVENT_STREAMS = 200  # event streams; half of the connections at most, so that some places remain
MAX_REQUEST_HEADER_SECONDS = 10.0  # no client needs longer for a request without its body
STOP_GRACE_SECONDS = 1.0  # for a thread to return once its child process was killed


class App:
    """One process's share of the program. Made by `open_app`."""

    def __init__(self, settings: Settings, redact: Redactor) -> None:
        self.settings = settings
        self.is_empty = False  # whether there is no database yet, and an empty one stands in for it
        self.clock = SystemClock()
        self.database = open_database(settings.database_url, self.clock.now)
        self.log = structlog.get_logger("orchestrator")
        self.replica_id = uuid.uuid4().hex[:12]
        self.redact = redact
        self.child_processes = ChildProcesses()
        self.dataset_watcher: DatasetWatcher | None = None  # only `serve` has one
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
        self.missing_key_watcher = MissingKeyWatcher(self.connections.has_key, self.clock.boottime)
        self.notification_targets = NotificationTargets(redact, self.network)
        self.webhook_receiver = WebhookReceiver(self.connections.parse_webhook, self.log)

    @cached_property
    def metrics(self) -> MetricsRecorder:
        """What this process does, in numbers."""
        from orchestrator.metrics import MetricsRecorder  # a mere look does not need it

        return MetricsRecorder(version("orchestrator"))

    async def close(self) -> None:
        """Let go of every connection and end every child process, so that no thread waits for one any more."""
        self.child_processes.kill_all()
        await self.moderation_worker.stop()
        await self.notification_targets.close()
        await self.connections.close()
        self.network.close()
        await self.database.close()

    @property
    def dataset_folder(self) -> Path:
        """Where the canonical JSONL lies."""
        return self.settings.data_dir / "datasets"

    async def read_desired(self) -> DesiredState:
        """What the operator wants now; from here on its accounts can be spoken to."""
        settings = self.settings
        reading = asyncio.to_thread(
            load_desired_state,
            settings.accounts_file,
            self.dataset_folder,
            self.redact,
            prices_file=settings.prices_file,
            retirements_file=settings.retirements_file,
            memory=None if settings.dataset_memory_mb is None else settings.dataset_memory_mb << 20,
            children=self.child_processes,
            before_read=self._start_watching_dataset,
        )
        desired = await self._await_unless_stopped(reading)
        self.connections.connect_accounts(desired.accounts_file.accounts, desired.keys.by_account, desired.secrets)
        self.missing_key_watcher.watch(
            [account for account in desired.accounts_file.accounts if account.name in desired.keys.missing]
        )
        self.webhook_receiver.configure(desired.accounts_file.accounts, desired.secrets)
        return desired

    def _start_watching_dataset(self, paths: DatasetPaths) -> None:
        if self.dataset_watcher is not None:
            self.dataset_watcher.set_baseline(paths)

    async def _await_unless_stopped(self, reading: Coroutine[Any, Any, DesiredState]) -> DesiredState:
        """Await what a thread reads, while another thread imports the providers.

        A thread cannot be cancelled. When the program stops, what it waits for is killed instead, and it gets a
        moment to remove what the killed process leaves.
        """
        task = asyncio.create_task(reading)
        try:
            desired, _ = await asyncio.gather(
                asyncio.shield(task), asyncio.to_thread(self.connections.import_providers)
            )
        except asyncio.CancelledError:
            self.child_processes.kill_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_GRACE_SECONDS):
                    await asyncio.gather(task, return_exceptions=True)
            raise
        return desired

    async def read_accounts(self) -> tuple[AccountsFile, AccountKeys]:
        """The accounts file and its keys, without the chats; its accounts can be spoken to."""
        file = await asyncio.to_thread(load_accounts_file, self.settings.accounts_file)
        keys = await asyncio.to_thread(
            resolve_account_keys,
            file.accounts,
            base_folder=file.folder,
            redact=self.redact,
            hidden_variables=file.key_variables,
            children=self.child_processes,
        )
        proxies = list(list_proxy_references(file.accounts))
        secrets = await asyncio.to_thread(
            resolve_secrets,
            proxies,
            base_folder=file.folder,
            redact=self.redact,
            hidden_variables=file.key_variables,
            children=self.child_processes,
        )
        self.connections.connect_accounts(file.accounts, keys.by_account, secrets)
        return file, keys

    async def read_listed_accounts(self) -> dict[str, Account]:
        """The accounts of the accounts file by name, without their keys."""
        file = await asyncio.to_thread(load_accounts_file, self.settings.accounts_file)
        return {account.name: account for account in file.accounts}

    async def get_account_states(self) -> dict[str, AccountState]:
        """What is known of each account."""
        async with self.database.read() as connection:
            return await accounts.list_all(connection)

    async def _find_identity(self, name: str) -> AccountIdentity | None:
        """Whom the account was verified to be; None when it is to be verified anew."""
        async with self.database.read() as connection:
            standing = (await accounts.get_many(connection, [name])).get(name)
        if standing is None or standing.verified_at is None:
            return None
        return AccountIdentity(standing.organization, standing.project)

    async def list_events(self, account: str) -> list[events.EventData]:
        """The account's events, oldest first. Raises ConfigError for a name that no account has or had."""
        async with self.database.read() as connection:
            entries = await events.list_by_account(connection, account)
            known = [] if entries else list(await accounts.list_all(connection))
        if entries or account in known:
            return entries
        raise unknown_accounts_error([account], known)

    async def build_plan(self) -> tuple[DesiredState, Plan]:
        """What would happen, without doing it."""
        desired = await self.read_desired()
        now = self.clock.now()
        known = await control.load_database_state(self.database, desired.job_ids, desired.run_id, now=now)
        moderation = find_known_moderation(desired, known.run, self.connections.by_name, now)
        _, heard = await gather_provider_facts(desired, known, self.connections.by_name, self.log, now)
        return desired, desired.build_plan(known, moderation, heard)

    async def create_resource_cleaner(self) -> ResourceCleaner:
        """What is left of finished runs, for all accounts of the accounts file."""
        from orchestrator.daemon.maintenance.cleanup import ResourceCleaner

        await self.read_accounts()
        return ResourceCleaner(
            self.database,
            self.connections.by_name,
            self.dataset_folder,
            max_concurrent_requests=self.settings.max_in_flight,
        )

    async def apply_accounts_file(self, *, start: bool, cause: str = SERVICE_CAUSE) -> DesiredState:
        """Make what the operator wants the current run; its chats are moderated afterwards, beside the ticks."""
        desired = await self.read_desired()
        await self.notification_targets.configure(desired.accounts_file.targets, desired.secrets)
        now = self.clock.now()
        await control.sync_accounts(self.database, desired.listed_accounts, now=now)
        known = await control.load_database_state(self.database, desired.job_ids, desired.run_id, now=now)
        moderation = find_known_moderation(
            desired, known.run, self.connections.by_name, now
        ) or build_pending_moderation(now)
        models, heard = await gather_provider_facts(desired, known, self.connections.by_name, self.log, now)
        plan = desired.build_plan(known, moderation, heard)
        found = FindingSummary.from_findings(desired.findings, desired.counts)
        run = await control.apply_plan(self.database, plan, start=start, now=now, cause=cause, findings=found)
        self.moderation_worker.request(desired, run)
        await model_expiry.record_base_model_retirements(self.database, plan.specs, models)
        for name, missing in desired.keys.missing.items():
            self.log.warning(
                "account.held", account=name, kind=missing.kind, message=missing.reason, hint=missing.hint
            )
        for warning in desired.warnings:
            self.log.warning("accounts_file.warning", message=warning)
        for warning in plan.warnings:
            self.log.warning("base_model.ends", message=warning)
        self.log.info(
            "run.current",
            run=run.id,
            name=run.name,
            dataset=run.dataset_sha256,
            accounts=len(plan.lines),
            new=plan.count(PlanStep.NEW),
            planned_usd=plan.total_usd,
        )
        for hold in run.holds:
            tell = self.log.info if hold.kind in SELF_RELEASING_HOLD_KINDS else self.log.warning
            tell("run.held", kind=hold.kind, message=hold.reason, hint=hold.hint)
        return desired

    @cached_property
    def moderation_worker(self) -> ModerationWorker:
        """What moderates the chats of the current run."""
        return ModerationWorker(
            self.database,
            self.connections.by_name,
            identify=self.connections.identify,
            replica=self.replica_id,
            tokens_per_minute=self.settings.moderation_tokens_per_minute,
            clock=self.clock,
            jitter=random.random,
            log=self.log,
        )

    def create_service(
        self, *, start: bool, observer: ServiceObserver = NULL_OBSERVER, watch_dataset: bool = False
    ) -> Service:
        """The loop, ready to be started. With `start` off, files are replicated and no job is created.

        `watch` is told what this process does: its `metrics`, where somebody can ask for them. With `watch_dataset`
        a change of the chats counts as one of the accounts file does.
        """
        if watch_dataset and self.settings.dataset_watch_seconds:
            from orchestrator.dataset.read.source_files import compute_fingerprint

            self.dataset_watcher = DatasetWatcher(self.settings.dataset_watch_seconds, compute_fingerprint)

        async def converge() -> str | None:
            return (await self.apply_accounts_file(start=start)).accounts_file.options.schedule

        from orchestrator.app.service_factory import build_service  # a mere look does not need it

        return build_service(self, converge, observer)

    def create_web_server(self, service: Service, stopping: asyncio.Event) -> WebServer:
        """The door for browsers and scripts. Raises the process's limit of open files, which it needs."""
        from orchestrator.app.web_backend import AppWebBackend, redact_environment_tokens
        from orchestrator.web.app import create_app
        from orchestrator.web.limited_protocol import ConnectionLimits
        from orchestrator.web.server import WebServer

        settings = self.settings
        places = compute_max_connections(
            raise_descriptor_limit(), max_in_flight=settings.max_in_flight, requested=settings.max_connections
        )
        redact_environment_tokens(settings, self.redact)
        inside = AppWebBackend(
            self.database,
            settings,
            service,
            self.webhook_receiver,
            self.clock,
            self.log,
            self.metrics,
            self.connections.get_listed_accounts,
        )
        return WebServer(
            create_app(inside.build(stopping, max_event_streams=min(MAX_EVENT_STREAMS, places // 2))),
            settings.host,
            settings.port,
            ConnectionLimits(
                max_connections=places,
                header_seconds=min(MAX_REQUEST_HEADER_SECONDS, settings.request_seconds),
                request_seconds=settings.request_seconds,
            ),
        )

    async def read_status(self) -> status.StatusSnapshot:
        """The current run as it is."""
        return await status.get_status(self.database, self.clock.now())

    async def get_moderation(self, chats: DatasetPaths) -> ModerationResult:
        """What the moderation said of these chats before."""
        return await load_cached_moderation(chats, self.database)


@asynccontextmanager
async def open_app_for_reading(settings: Settings, redact: Redactor) -> AsyncIterator[App]:
    """Everything for a command that only looks. Where there is no database yet, none is left behind.

    It then looks into an empty one in a folder that is deleted afterwards: to look must not make a folder and a
    database wherever someone happens to stand.
    """
    if has_database(settings):
        async with open_app(settings, redact) as app:
            yield app
        return
    with tempfile.TemporaryDirectory(prefix="orchestrator-look-") as folder:
        empty = {"data_dir": Path(folder), "database_url": f"sqlite:///{Path(folder) / 'orchestrator.db'}"}
        async with open_app(settings.model_copy(update=empty), redact) as app:
            app.is_empty = True
            yield app


@asynccontextmanager
async def open_app(settings: Settings, redact: Redactor) -> AsyncIterator[App]:
    """Everything built and the database up to date; everything closed afterwards."""
    try:
        create_private_folder(settings.data_dir)
    except OSError as error:
        raise ConfigError(
            f"the data folder {settings.data_dir} cannot be created ({error.strerror})",
            hint="ORCHESTRATOR_DATA_DIR must name a folder that the service's user may create and write.",
        ) from None
    app = App(settings, redact)
    try:
        if revision := await app.database.migrate():
            app.log.info("database.migrated", revision=revision)
        if not app.database.is_sqlite:
            await import_wakeup_queue().install(app.database)
        yield app
    finally:
        await app.close()
