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
from orchestrator.app.database import database, has_database, queue
from orchestrator.app.descriptors import max_connections, raise_descriptor_limit
from orchestrator.app.incoming import Incoming
from orchestrator.app.network import Network
from orchestrator.app.outgoing import Outgoing
from orchestrator.control.unknown import unknown_accounts
from orchestrator.core.account import Account, Identity
from orchestrator.core.errors import ConfigError
from orchestrator.core.finding import Findings
from orchestrator.core.hold import BY_ITSELF
from orchestrator.core.plan import Plan, Step
from orchestrator.core.run import Standing
from orchestrator.core.secret import Redactor
from orchestrator.core.watch import NOBODY, Watch
from orchestrator.daemon import lifetimes
from orchestrator.daemon.dataset_watcher import DatasetWatcher
from orchestrator.daemon.desired import Desired, read_desired
from orchestrator.daemon.hearing import hear
from orchestrator.daemon.missing_keys import MissingKeyWatcher
from orchestrator.daemon.moderation import expected, pending, recalled
from orchestrator.daemon.moderation_worker import ModerationWorker
from orchestrator.daemon.service import Service
from orchestrator.settings import Settings
from orchestrator.sources.accounts import AccountsFile, read_accounts
from orchestrator.sources.secrets import Keys, follow, resolve_all
from orchestrator.sources.targets import proxy_references
from orchestrator.store import accounts, events
from orchestrator.system.child_processes import ChildProcesses
from orchestrator.system.private import create_private_folder

if TYPE_CHECKING:
    from orchestrator.daemon.pruning import Pruning
    from orchestrator.dataset.files import Paths
    from orchestrator.dataset.moderating import Moderated
    from orchestrator.metrics import Metrics
    from orchestrator.web.server import WebServer

SERVICE = "service"
MAX_LISTENERS = 200  # event streams; half of the connections at most, so that some places remain
MAX_HEADER_SECONDS = 10.0  # no client needs longer for a request without its body
STOP_SECONDS = 1.0  # for a thread to return once its child process was killed


class App:
    """One process's share of the program. Made by `open_app`."""

    def __init__(self, settings: Settings, redact: Redactor) -> None:
        self.settings = settings
        self.is_empty = False  # whether there is no database yet, and an empty one stands in for it
        self.clock = SystemClock()
        self.database = database(settings.database_url, self.clock.now)
        self.log = structlog.get_logger("orchestrator")
        self.replica = uuid.uuid4().hex[:12]
        self.redact = redact
        self.children = ChildProcesses()
        self.dataset_watcher: DatasetWatcher | None = None  # only `serve` has one
        self.network = Network(os.environ, settings.ca_file, redact)
        self.connections = Connections(
            settings.accounts_file.parent,
            self.network,
            children=self.children,
            max_in_flight=settings.max_in_flight,
            redact=redact,
            clock=self.clock.boottime,
            find_identity=self._find_identity,
        )
        self.missing_keys = MissingKeyWatcher(self.connections.has_key, self.clock.boottime)
        self.outgoing = Outgoing(redact, self.network)
        self.incoming = Incoming(self.connections.read_webhook, self.log)

    @cached_property
    def metrics(self) -> Metrics:
        """What this process does, in numbers."""
        from orchestrator.metrics import Metrics  # a mere look does not need it

        return Metrics(version("orchestrator"))

    async def close(self) -> None:
        """Let go of every connection and end every child process, so that no thread waits for one any more."""
        self.children.stop()
        await self.moderation.stop()
        await self.outgoing.close()
        await self.connections.close()
        self.network.close()
        await self.database.close()

    @property
    def datasets(self) -> Path:
        """Where the canonical JSONL lies."""
        return self.settings.data_dir / "datasets"

    async def read_desired(self) -> Desired:
        """What the operator wants now; from here on its accounts can be spoken to."""
        settings = self.settings
        reading = asyncio.to_thread(
            read_desired,
            settings.accounts_file,
            self.datasets,
            self.redact,
            prices_file=settings.prices_file,
            retirements_file=settings.retirements_file,
            memory=None if settings.dataset_memory_mb is None else settings.dataset_memory_mb << 20,
            children=self.children,
            begin=self._watch_dataset,
        )
        desired = await self._unless_stopped(reading)
        self.connections.connect_all(desired.file.accounts, desired.keys.found, desired.secrets)
        self.missing_keys.expect(
            [account for account in desired.file.accounts if account.name in desired.keys.missing]
        )
        self.incoming.expect(desired.file.accounts, desired.secrets)
        return desired

    def _watch_dataset(self, paths: Paths) -> None:
        if self.dataset_watcher is not None:
            self.dataset_watcher.begin(paths)

    async def _unless_stopped(self, reading: Coroutine[Any, Any, Desired]) -> Desired:
        """Await what a thread reads, while another thread imports the providers.

        A thread cannot be cancelled. When the program stops, what it waits for is killed instead, and it gets a
        moment to remove what the killed process leaves.
        """
        task = asyncio.create_task(reading)
        try:
            desired, _ = await asyncio.gather(asyncio.shield(task), asyncio.to_thread(self.connections.load))
        except asyncio.CancelledError:
            self.children.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await asyncio.gather(task, return_exceptions=True)
            raise
        return desired

    async def read_accounts(self) -> tuple[AccountsFile, Keys]:
        """The accounts file and its keys, without the chats; its accounts can be spoken to."""
        file = await asyncio.to_thread(read_accounts, self.settings.accounts_file)
        keys = await asyncio.to_thread(
            resolve_all,
            file.accounts,
            base=file.folder,
            redact=self.redact,
            hidden=file.key_variables,
            children=self.children,
        )
        proxies = list(proxy_references(file.accounts))
        secrets = await asyncio.to_thread(
            follow,
            proxies,
            base=file.folder,
            redact=self.redact,
            hidden=file.key_variables,
            children=self.children,
        )
        self.connections.connect_all(file.accounts, keys.found, secrets)
        return file, keys

    async def listed(self) -> dict[str, Account]:
        """The accounts of the accounts file by name, without their keys."""
        file = await asyncio.to_thread(read_accounts, self.settings.accounts_file)
        return {account.name: account for account in file.accounts}

    async def standings(self) -> dict[str, Standing]:
        """What is known of each account."""
        async with self.database.read() as connection:
            return await accounts.everyone(connection)

    async def _find_identity(self, name: str) -> Identity | None:
        """Whom the account was verified to be; None when it is to be verified anew."""
        async with self.database.read() as connection:
            standing = (await accounts.some(connection, [name])).get(name)
        if standing is None or standing.verified_at is None:
            return None
        return Identity(standing.organization, standing.project)

    async def history(self, account: str) -> list[events.Entry]:
        """The account's events, oldest first. Raises ConfigError for a name that no account has or had."""
        async with self.database.read() as connection:
            entries = await events.of_account(connection, account)
            known = [] if entries else list(await accounts.everyone(connection))
        if entries or account in known:
            return entries
        raise unknown_accounts([account], known)

    async def plan(self) -> tuple[Desired, Plan]:
        """What would happen, without doing it."""
        desired = await self.read_desired()
        now = self.clock.now()
        known = await control.known(self.database, desired.job_ids, desired.run_id, now=now)
        moderation = expected(desired, known.run, self.connections.by_name, now)
        _, heard = await hear(desired, known, self.connections.by_name, self.log, now)
        return desired, desired.plan(known, moderation, heard)

    async def pruning(self) -> Pruning:
        """What is left of finished runs, for all accounts of the accounts file."""
        from orchestrator.daemon.pruning import Pruning

        await self.read_accounts()
        return Pruning(self.database, self.connections.by_name, self.datasets, most=self.settings.max_in_flight)

    async def converge(self, *, start: bool, cause: str = SERVICE) -> Desired:
        """Make what the operator wants the current run; its chats are moderated afterwards, beside the ticks."""
        desired = await self.read_desired()
        await self.outgoing.expect(desired.file.targets, desired.secrets)
        now = self.clock.now()
        await control.list_accounts(self.database, desired.listed, now=now)
        known = await control.known(self.database, desired.job_ids, desired.run_id, now=now)
        moderation = expected(desired, known.run, self.connections.by_name, now) or pending(now)
        models, heard = await hear(desired, known, self.connections.by_name, self.log, now)
        plan = desired.plan(known, moderation, heard)
        found = Findings.of(desired.findings, desired.counts)
        run = await control.adopt_plan(self.database, plan, start=start, now=now, cause=cause, findings=found)
        self.moderation.request(desired, run)
        await lifetimes.note(self.database, plan.specs, models)
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
            new=plan.count(Step.NEW),
            planned_usd=plan.total_usd,
        )
        for hold in run.holds:
            tell = self.log.info if hold.kind in BY_ITSELF else self.log.warning
            tell("run.held", kind=hold.kind, message=hold.reason, hint=hold.hint)
        return desired

    @cached_property
    def moderation(self) -> ModerationWorker:
        """What moderates the chats of the current run."""
        return ModerationWorker(
            self.database,
            self.connections.by_name,
            identify=self.connections.identify,
            replica=self.replica,
            tokens_per_minute=self.settings.moderation_tokens_per_minute,
            clock=self.clock,
            jitter=random.random,
            log=self.log,
        )

    def service(self, *, start: bool, watch: Watch = NOBODY, watch_dataset: bool = False) -> Service:
        """The loop, ready to be started. With `start` off, files are replicated and no job is created.

        `watch` is told what this process does: its `metrics`, where somebody can ask for them. With `watch_dataset`
        a change of the chats counts as one of the accounts file does.
        """
        if watch_dataset and self.settings.dataset_watch_seconds:
            from orchestrator.dataset.files import fingerprint

            self.dataset_watcher = DatasetWatcher(self.settings.dataset_watch_seconds, fingerprint)

        async def converge() -> str | None:
            return (await self.converge(start=start)).file.options.schedule

        from orchestrator.app.loop import build_service  # a mere look does not need it

        return build_service(self, converge, watch)

    def web(self, service: Service, stopping: asyncio.Event) -> WebServer:
        """The door for browsers and scripts. Raises the process's limit of open files, which it needs."""
        from orchestrator.app.web import Inside, hide_tokens  # half a second that only `serve` needs
        from orchestrator.web.api import create_web
        from orchestrator.web.limited_protocol import ConnectionLimits
        from orchestrator.web.server import WebServer

        settings = self.settings
        places = max_connections(
            raise_descriptor_limit(), max_in_flight=settings.max_in_flight, requested=settings.max_connections
        )
        hide_tokens(settings, self.redact)
        inside = Inside(
            self.database,
            settings,
            service,
            self.incoming,
            self.clock,
            self.log,
            self.metrics,
            self.connections.listed,
        )
        return WebServer(
            create_web(inside.program(stopping, max_listeners=min(MAX_LISTENERS, places // 2))),
            settings.host,
            settings.port,
            ConnectionLimits(
                max_connections=places,
                header_seconds=min(MAX_HEADER_SECONDS, settings.request_seconds),
                request_seconds=settings.request_seconds,
            ),
        )

    async def look(self) -> status.Status:
        """The current run as it is."""
        return await status.look(self.database, self.clock.now())

    async def recall_moderation(self, chats: Paths) -> Moderated:
        """What the moderation said of these chats before."""
        return await recalled(chats, self.database)


@asynccontextmanager
async def open_app_to_read(settings: Settings, redact: Redactor) -> AsyncIterator[App]:
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
            await queue().install(app.database)
        yield app
    finally:
        await app.close()
