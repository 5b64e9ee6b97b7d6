"""Wiring: creates the parts of a process from its settings, offers them to the commands, and closes them."""

# Theory of operation
#
# One App exists per process. `App.__init__` creates the parts that every command may need; none of them opens a file
# or a connection yet. What only some commands need is created at first use (`metrics`, `moderation_worker`) or by
# request (`create_service`, `create_web_server`), with lazy imports, because `status` should not pay for `serve`.
#
# `apply_accounts_file` is the central use case. The order of its steps matters:
#
#   1. load the desired state. An error ends everything here, and changes nothing.
#   2. configure the notification targets: what happens next may have to be notified.
#   3. synchronise the stored accounts with the listed ones.
#   4. read the stored run and jobs, and ask the providers for facts (base models, retirement dates, prices).
#   5. compute the plan (pure), and store it as the current run in one transaction.
#   6. request moderation, which runs beside the ticks; jobs wait for it.
#
# `close` runs in the reverse order of use: first the child processes are killed, because threads wait for them, then
# the workers stop, then the HTTP clients close, and the database closes last, because all others may write to it.

from __future__ import annotations

import asyncio
import os
import random
import uuid
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from orchestrator import control, status
from orchestrator.app.clock import SystemClock
from orchestrator.app.connections import Connections
from orchestrator.app.database import open_database
from orchestrator.app.desired_state_loader import DesiredStateLoader
from orchestrator.app.file_descriptors import compute_max_connections, raise_descriptor_limit
from orchestrator.app.notification_targets import NotificationTargets
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.app.webhook_receiver import WebhookReceiver
from orchestrator.control.accounts import unknown_accounts_error
from orchestrator.core.account import AccountIdentity
from orchestrator.core.account_state import AccountState
from orchestrator.core.finding import FindingSummary
from orchestrator.core.hold import SELF_RELEASING_HOLD_KINDS
from orchestrator.core.jobs.observer import NULL_OBSERVER, ServiceObserver
from orchestrator.core.jobs.run import Run
from orchestrator.core.plans.plan import Plan, PlanStep
from orchestrator.core.secret import Redactor
from orchestrator.daemon.dataset_watcher import DatasetWatcher
from orchestrator.daemon.maintenance import model_expiry
from orchestrator.daemon.missing_key_watcher import MissingKeyWatcher
from orchestrator.daemon.moderation_worker import ModerationWorker
from orchestrator.daemon.service import Service
from orchestrator.planning.desired_state import DesiredState
from orchestrator.planning.moderation import build_pending_moderation, find_known_moderation, load_cached_moderation
from orchestrator.planning.provider_facts import gather_provider_facts
from orchestrator.settings import Settings
from orchestrator.store.db.transaction import EventData
from orchestrator.store.queries import accounts, events
from orchestrator.system.child_processes import ChildProcesses

if TYPE_CHECKING:
    from orchestrator.app.service_factory import ServiceParts
    from orchestrator.daemon.maintenance.cleanup import ResourceCleaner
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
        self.missing_key_watcher = MissingKeyWatcher(self.connections.has_key, self.clock.boottime)
        self.notification_targets = NotificationTargets(redact, self.network)
        self.webhook_receiver = WebhookReceiver(self.connections.parse_webhook, self.log)
        self.loader = DesiredStateLoader(
            settings,
            self.dataset_folder,
            redact=redact,
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
        await self.moderation_worker.stop()
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
        """Return the verified identity of an account, or None if it must be verified again."""
        async with self.database.read() as connection:
            state = (await accounts.get_many(connection, [name])).get(name)
        if state is None or state.verified_at is None:
            return None
        return AccountIdentity(state.organization, state.project)

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

    async def build_plan(self) -> tuple[DesiredState, Plan]:
        """Return the desired state and its plan without storing or sending anything that costs."""
        desired = await self.loader.load()
        now = self.clock.now()
        known = await control.load_database_state(self.database, desired.job_ids, desired.run_id, now=now)
        moderation = find_known_moderation(desired, known.run, self.connections.by_name, now)
        _, facts = await gather_provider_facts(desired, known, self.connections.by_name, self.log, now)
        return desired, desired.build_plan(known, moderation, facts)

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

    async def apply_accounts_file(self, *, start: bool, cause: str = SERVICE_CAUSE) -> DesiredState:
        """Make the desired state the current run, and request its moderation. Raises ConfigError or DatasetError.

        Without `start` the run only uploads its files. `cause` is stored with the events.
        """
        desired = await self.loader.load()
        await self.notification_targets.configure(desired.accounts_file.targets, desired.secrets)
        now = self.clock.now()
        await control.sync_accounts(self.database, desired.listed_accounts, now=now)
        known = await control.load_database_state(self.database, desired.job_ids, desired.run_id, now=now)
        moderation = find_known_moderation(
            desired, known.run, self.connections.by_name, now
        ) or build_pending_moderation(now)
        models, facts = await gather_provider_facts(desired, known, self.connections.by_name, self.log, now)
        plan = desired.build_plan(known, moderation, facts)
        findings = FindingSummary.from_findings(desired.findings, desired.counts)
        run = await control.apply_plan(self.database, plan, start=start, now=now, cause=cause, findings=findings)
        self.moderation_worker.request(desired, run)
        await model_expiry.record_base_model_retirements(self.database, plan.specs, models)
        self._log_applied_plan(desired, plan, run)
        return desired

    def _log_applied_plan(self, desired: DesiredState, plan: Plan, run: Run) -> None:
        for name, missing in desired.keys.missing.items():
            self.log.warning(
                "account.held", account=name, kind=missing.kind, message=missing.reason, hint=missing.hint
            )
        for warning in desired.warnings:
            self.log.warning("accounts_file.warned", message=warning)
        for warning in plan.warnings:
            self.log.warning("base_model.retiring", message=warning)
        self.log.info(
            "plan.applied",
            run=run.id,
            name=run.name,
            dataset=run.dataset_sha256,
            accounts=len(plan.lines),
            new=plan.count(PlanStep.NEW),
            planned_usd=plan.total_usd,
        )
        for hold in run.holds:
            write = self.log.info if hold.kind in SELF_RELEASING_HOLD_KINDS else self.log.warning
            write("run.held", kind=hold.kind, message=hold.reason, hint=hold.hint)

    @cached_property
    def moderation_worker(self) -> ModerationWorker:
        """The worker that moderates the chats of the current run."""
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
        """Create the service, ready to be started. Without `start` it uploads files and creates no job.

        `observer` receives measurements, usually `metrics`. With `watch_dataset` a change of the chats is applied
        like a change of the accounts file.
        """
        if watch_dataset and self.settings.dataset_watch_seconds:
            from orchestrator.dataset.read.source_files import compute_fingerprint

            self.loader.dataset_watcher = DatasetWatcher(self.settings.dataset_watch_seconds, compute_fingerprint)

        async def converge() -> str | None:
            return (await self.apply_accounts_file(start=start)).run.options.schedule

        from orchestrator.app.service_factory import build_service  # lazy: read-only commands do not need it

        return build_service(self.get_service_parts(), converge, observer)

    def get_service_parts(self) -> ServiceParts:
        """Return the parts that a service uses."""
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
            notification_targets=self.notification_targets,
            moderation_worker=self.moderation_worker,
            missing_key_watcher=self.missing_key_watcher,
            dataset_watcher=self.loader.dataset_watcher,
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

    async def read_status(self) -> status.StatusSnapshot:
        """Return a snapshot of the current run."""
        return await status.get_status(self.database, self.clock.now())

    async def get_moderation(self, chats: DatasetPaths) -> ModerationResult:
        """Return the stored moderation verdicts of these chats. Sends no request."""
        return await load_cached_moderation(chats, self.database)
