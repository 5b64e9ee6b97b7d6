"""App: wiring. Builds everything once from the settings, owns the clock, knows every concrete class."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr
from sqlalchemy import make_url

from orchestrator import control, status
from orchestrator.core.account import Account, Identity, ProviderName
from orchestrator.core.errors import AccountError, ConfigError, DatabaseBusy, Failure, ProviderError
from orchestrator.core.plan import Plan, Step
from orchestrator.core.retirement import retirement_hold
from orchestrator.core.retirement import warnings as retirement_warnings
from orchestrator.core.run import Standing
from orchestrator.core.secret import Redactor, Secret
from orchestrator.daemon.desired import Desired, read_desired
from orchestrator.daemon.models import base_models
from orchestrator.daemon.moderation import expected, moderated, recalled
from orchestrator.daemon.presence import Presence
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.daemon.scheduler import Scheduler
from orchestrator.daemon.service import Service
from orchestrator.daemon.steps import Pace
from orchestrator.dataset.checking import Progress
from orchestrator.dataset.files import Paths
from orchestrator.dataset.moderating import Moderated
from orchestrator.dispatch.base import Dispatch
from orchestrator.dispatch.embedded import EmbeddedDispatch
from orchestrator.providers.base import Connect, Connection
from orchestrator.settings import Settings
from orchestrator.sources.accounts import AccountsFile, read_accounts
from orchestrator.sources.secrets import resolve, resolve_all
from orchestrator.store import accounts, events
from orchestrator.store.database import Database

if TYPE_CHECKING:
    from orchestrator.web.server import WebServer

LONGEST_SILENCE = 30.0  # seconds without a tick before /readyz says so
SWEEP_SECONDS = 2.0
PRUNE_SECONDS = 60.0
SERVICE = "service"
CRASH_VARIABLE = "CHAOS_CRASH_AT"  # tests only: a named point of the reconciler


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.time()  # noqa: TID251 - the one place that asks

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class App:
    """One process's share of the program. Made by `open_app`."""

    def __init__(self, settings: Settings, redact: Redactor) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self.database = _database(settings.database_url, self.clock.now)
        self.log = structlog.get_logger("orchestrator")
        self._replica = uuid.uuid4().hex[:12]
        self._redact = redact
        self._connections: dict[str, Connection] = {}
        self._closing = AsyncExitStack()

    async def close(self) -> None:
        """Let go of every connection."""
        await self._closing.aclose()
        await self.database.close()

    @property
    def _datasets(self) -> Path:
        return self.settings.data_dir / "datasets"

    async def read_desired(self) -> Desired:
        """What the operator wants now; from here on its accounts can be spoken to."""
        settings = self.settings
        desired = await asyncio.to_thread(
            read_desired, settings.accounts_file, self._datasets, settings.prices_file, self._redact
        )
        self._connect_all(desired.file.accounts, desired.keys)
        return desired

    async def read_accounts(self) -> tuple[AccountsFile, dict[str, str]]:
        """The accounts file and the fingerprints of its keys, without the chats; its accounts can be spoken to."""
        file = await asyncio.to_thread(read_accounts, self.settings.accounts_file)
        keys = await asyncio.to_thread(resolve_all, file.accounts, base=file.folder, redact=self._redact)
        self._connect_all(file.accounts, keys)
        return file, {name: key.fingerprint for name, key in keys.items()}

    async def standings(self) -> dict[str, Standing]:
        """What is known of each account."""
        async with self.database.read() as connection:
            return await accounts.everyone(connection)

    async def history(self, account: str) -> list[events.Entry]:
        """The account's events, oldest first."""
        async with self.database.read() as connection:
            return await events.of_account(connection, account)

    async def plan(self) -> tuple[Desired, Plan]:
        """What would happen, without doing it."""
        desired = await self.read_desired()
        known = await control.known(self.database, desired.job_ids, desired.run_id)
        now = self.clock.now()
        models = await base_models(desired, self._connections, self.log)
        moderation = expected(desired, known.run, self._connections, now)
        return desired, desired.plan(known, moderation, retirement_hold(models, now))

    async def converge(self, *, start: bool, cause: str = SERVICE, progress: Progress | None = None) -> Desired:
        """Make what the operator wants the current run. `progress` is told of the texts that are moderated."""
        desired = await self.read_desired()
        now = self.clock.now()
        await control.list_accounts(self.database, desired.listed, now=now)
        known = await control.known(self.database, desired.job_ids, desired.run_id)
        moderation = await moderated(
            desired,
            known.run,
            self._connections,
            self.database,
            tokens_per_minute=self.settings.moderation_tokens_per_minute,
            clock=self.clock,
            log=self.log,
            progress=progress,
        )
        models = await base_models(desired, self._connections, self.log)
        plan = desired.plan(known, moderation, retirement_hold(models, now))
        run = await control.adopt_plan(self.database, plan, start=start, now=now, cause=cause)
        for warning in desired.file.warnings:
            self.log.warning("accounts_file.warning", message=warning)
        for warning in retirement_warnings(models, now):
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
            self.log.warning("run.held", kind=hold.kind, message=hold.reason, hint=hold.hint)
        return desired

    def service(self, *, start: bool, progress: Progress | None = None) -> Service:
        """The loop, ready to be started. With `start` off, files are replicated and no job is created."""
        settings, clock = self.settings, self.clock
        scheduler = Scheduler(now=clock.now, log=self.log)
        reconciler = Reconciler(
            self.database,
            self._connections,
            identify=self._identify,
            redact=self._redact,
            clock=clock,
            jitter=random.random,
            pace=Pace(
                poll_min=settings.poll_min_seconds, poll_max=settings.poll_max_seconds, intent=settings.intent_seconds
            ),
            datasets=self._datasets,
            replica=self._replica,
            log=self.log,
            reached=crash_at(os.environ.get(CRASH_VARIABLE)),
        )

        async def converge() -> str | None:
            return (await self.converge(start=start, progress=progress)).file.options.schedule

        return Service(
            converge=converge,
            signature=self._signature,
            dispatch=self._dispatch(scheduler),
            reconciler=reconciler,
            presence=Presence(
                self.database,
                replica=self._replica,
                host=socket.gethostname(),
                pid=os.getpid(),
                now=clock.now,
                silence=settings.intent_seconds,
            ),
            scheduler=scheduler,
            log=self.log,
        )

    def _dispatch(self, scheduler: Scheduler) -> Dispatch:
        settings, now = self.settings, self.clock.now
        if self.database.is_sqlite:
            return EmbeddedDispatch(self.database, now=now, most=settings.max_in_flight, log=self.log)
        from orchestrator.dispatch.pgqueuer import PgqueuerDispatch  # an extra

        dispatch = PgqueuerDispatch(
            self.database,
            replica=self._replica,
            now=now,
            most=settings.max_in_flight,
            silence=settings.intent_seconds,
            log=self.log,
        )
        scheduler.every(SWEEP_SECONDS, "sweep", dispatch.sweep)
        scheduler.every(PRUNE_SECONDS, "prune", dispatch.prune)
        return dispatch

    def web(self, service: Service) -> WebServer:
        """The door for browsers and scripts."""
        from orchestrator.web.api import create_web  # half a second that only `serve` needs
        from orchestrator.web.server import WebServer

        async def look() -> status.Status:
            return await status.look(self.database, self.clock.now())

        async def health() -> status.Health:
            silent = service.silent_for
            return status.Health(
                database=await self.database.reachable(),
                ticking=silent is not None and silent < LONGEST_SILENCE,
                problem=service.problem,
            )

        settings = self.settings
        web = create_web(
            status=look,
            health=health,
            token=self._token(settings.token),
            read_token=self._token(settings.read_token),
            now=self.clock.now,
        )
        return WebServer(web, settings.host, settings.port)

    async def look(self) -> status.Status:
        """The current run as it is."""
        return await status.look(self.database, self.clock.now())

    async def recall_moderation(self, chats: Paths) -> Moderated:
        """What the moderation said of these chats before."""
        return await recalled(chats, self.database)

    async def verify(self, accounts: Sequence[Account]) -> dict[str, Identity | Failure]:
        """Ask each account's provider whose key it is."""
        slots = asyncio.Semaphore(self.settings.max_in_flight)

        async def ask(account: Account) -> Identity | Failure:
            async with slots:
                try:
                    return (await self._identify(self._connections[account.name]))[1]
                except ProviderError as error:
                    return Failure.of(error)

        answers = await asyncio.gather(*(ask(account) for account in accounts))
        return {account.name: answer for account, answer in zip(accounts, answers, strict=True)}

    async def _identify(self, connection: Connection) -> tuple[Connection, Identity]:
        """Whose key it is. One that is refused is read again: it may have been replaced since."""
        try:
            return connection, await connection.identity()
        except AccountError:
            account = connection.account
            key = await asyncio.to_thread(self._key_now, account)
            if key is None or key.fingerprint == connection.key_fingerprint:
                raise
        renewed = self._connections[account.name] = self._connected(account, key)
        return renewed, await renewed.identity()

    def _key_now(self, account: Account) -> Secret | None:
        try:
            return resolve(account.api_key, base=self.settings.accounts_file.parent, redact=self._redact)
        except ConfigError:
            return None

    def _connect_all(self, accounts: Sequence[Account], keys: Mapping[str, Secret]) -> None:
        connections = {account.name: self._connected(account, keys[account.name]) for account in accounts}
        self._connections.clear()
        self._connections.update(connections)

    @cached_property
    def _dialects(self) -> Mapping[ProviderName, Connect]:
        """How the accounts of each provider are connected, all through one HTTP client."""
        # More than half a second that a mere look does not need.
        from orchestrator.providers import fireworks, openai, together
        from orchestrator.providers.openai_dialects import DIALECTS
        from orchestrator.providers.transport import shared_client

        http = shared_client(self.settings.max_in_flight)
        self._closing.push_async_callback(http.aclose)
        return {
            **dict.fromkeys(DIALECTS, openai.connector(http, self._redact)),
            ProviderName.TOGETHER: together.connector(http, self._redact),
            ProviderName.FIREWORKS: fireworks.connector(http, self._redact),
        }

    def _connected(self, account: Account, key: Secret) -> Connection:
        return Connection(account, key.fingerprint, self._dialects[account.provider](account, key))

    def _token(self, given: SecretStr | None) -> Secret | None:
        if given is None:
            return None
        token = Secret(given.get_secret_value())
        self._redact.add(token)
        return token

    def _signature(self) -> Hashable:
        try:
            stat = self.settings.accounts_file.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size


def _database(url: str, now: Callable[[], float]) -> Database:
    sqlite = make_url(url).get_backend_name() == "sqlite"
    return Database(url, None if sqlite else _queue().scheduler(now))


def _queue() -> ModuleType:
    """What PostgreSQL needs beyond SQLite, which few installations have."""
    try:
        from orchestrator.dispatch import queue
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"PostgreSQL needs the package {error.name}, which is not installed",
            hint="Install orchestrator with its extra: pip install 'orchestrator[postgres]'.",
        ) from error
    return queue


@asynccontextmanager
async def open_app(settings: Settings, redact: Redactor) -> AsyncIterator[App]:
    """Everything built and the database up to date; everything closed afterwards."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    app = App(settings, redact)
    try:
        await app.database.migrate()
        if not app.database.is_sqlite:
            await _queue().install(app.database)
        yield app
    finally:
        await app.close()


def crash_at(point: str | None) -> Callable[[str], None]:
    """Tests only: kill this process the moment it reaches the named point, as `kill -9` would."""

    def reached(name: str) -> None:
        if point is not None and name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


def has_database(settings: Settings) -> bool:
    """Whether there is one to look into: SQLite makes its file with the first run."""
    url = make_url(settings.database_url)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()


@contextmanager
def sole_owner(settings: Settings) -> Iterator[None]:
    """On SQLite only one process may do the work: a second one is told so."""
    url = make_url(settings.database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        yield
        return
    path = Path(f"{url.database}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DatabaseBusy(f"another orchestrator process works on {url.database}") from None
        yield
