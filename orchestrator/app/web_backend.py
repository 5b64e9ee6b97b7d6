"""Web: what the web door is handed. It opens no database, so each thing that it may ask is a function made here."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from structlog.stdlib import BoundLogger

from orchestrator import control, status
from orchestrator.app.webhook_receiver import WebhookReceiver
from orchestrator.core.access_token import ENVIRONMENT_TOKEN_NAME, AccessToken, Role, hash_token
from orchestrator.core.account import Account
from orchestrator.core.clock import Clock
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.core.secret import Redactor, Secret
from orchestrator.daemon.service import Service
from orchestrator.daemon.webhook_handler import WebhookHandler
from orchestrator.settings import Settings
from orchestrator.status import Health
from orchestrator.store.db.database import Database

if TYPE_CHECKING:
    from orchestrator.metrics import MetricsRecorder
    from orchestrator.web.backend import WebBackend

MAX_TICK_SILENCE_SECONDS = 30.0  # seconds without a tick before /readyz says so
P = ParamSpec("P")
T = TypeVar("T")


class AppWebBackend:
    """One process's answers to its web door."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        service: Service,
        webhook_receiver: WebhookReceiver,
        clock: Clock,
        log: BoundLogger,
        metrics: MetricsRecorder,
        get_listed_accounts: Callable[[], Mapping[str, Account]] = dict,
    ) -> None:
        self._database = database
        self._environment_tokens = list_environment_tokens(settings)
        self._session_secret = settings.token or settings.read_token
        self._service = service
        self._webhook_receiver = webhook_receiver
        self._webhook_handler = WebhookHandler(
            wake_dispatch=service.wake, now=clock.now, min_poll_seconds=settings.poll_min_seconds, log=log
        )
        self._metrics = metrics
        self._get_listed_accounts = get_listed_accounts
        self._clock = clock

    def build(self, stopping: asyncio.Event, *, max_event_streams: int = 200) -> WebBackend:
        """All of them; `stopping` ends what streams, and only so many may."""
        from orchestrator.web.backend import WebBackend

        return WebBackend(
            now=self._clock.now,
            boottime=self._clock.boottime,
            call_with_database=self.call_with_database,
            check_health=self.get_health,
            render_metrics=self._metrics.render,
            list_tokens=self.list_tokens,
            record_token_use=self.record_token_use,
            session_key=self.derive_session_key(),
            receive_webhook=self.receive_webhook,
            get_accounts=self._get_listed_accounts,
            committed=self._database.committed,
            stopping=stopping,
            max_event_streams=max_event_streams,
        )

    async def call_with_database(
        self, function: Callable[Concatenate[Database, P], Awaitable[T]], /, *arguments: P.args, **options: P.kwargs
    ) -> T:
        """What `ask` says of the database, or does to it. Raises DatabaseUnavailable."""
        try:
            return await function(self._database, *arguments, **options)
        except DatabaseUnavailable as error:  # without the reason, which names places that not every reader may know
            raise DatabaseUnavailable("the database does not answer") from error

    async def get_health(self) -> Health:
        """Whether this process can do its work, and why not."""
        silent = self._service.seconds_since_tick
        reachable = await self._database.is_reachable()
        reason = self._database.outage.summary if not reachable else _describe_silence(silent)
        return Health(
            database=reachable,
            ticking=_describe_silence(silent) is None,
            problem=problem.failure if (problem := self._service.problem) else None,
            reason=reason,
        )

    async def list_tokens(self) -> Sequence[AccessToken]:
        """The settings' tokens and the database's."""
        return [*self._environment_tokens, *await self.call_with_database(status.list_tokens)]

    async def record_token_use(self, token: AccessToken) -> None:
        """Note it; a database that cannot be written keeps nobody out."""
        if token in self._environment_tokens:
            return
        with suppress(DatabaseUnavailable):
            await control.record_token_use(self._database, token.name, now=self._clock.now())

    def derive_session_key(self) -> bytes:
        """What browsers' sessions are signed with: with a token in the settings they survive a restart."""
        given = self._session_secret.get_secret_value().encode() if self._session_secret else secrets.token_bytes()
        return sha256(b"orchestrator sessions " + given).digest()

    async def receive_webhook(self, account: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Take a webhook; False when it is not genuine."""
        return await self.call_with_database(
            self._webhook_receiver.receive, self._webhook_handler, account, headers, body
        )


def _describe_silence(seconds: float | None) -> str | None:
    """Why a service that last ticked so long ago is not ready; None where it is."""
    if seconds is None:
        return "the service is starting or stopping"
    if 0 <= seconds < MAX_TICK_SILENCE_SECONDS:
        return None
    return f"the service has not ticked for {seconds:.0f} s"


def list_environment_tokens(settings: Settings) -> list[AccessToken]:
    """The tokens that the settings hand in."""
    given = {Role.OPERATOR: settings.token, Role.READER: settings.read_token}
    return [
        AccessToken(
            name=ENVIRONMENT_TOKEN_NAME,
            role=role,
            hash=hash_token(secret.get_secret_value().encode()),
            created_at=0.0,
            created_by=ENVIRONMENT_TOKEN_NAME,
        )
        for role, secret in given.items()
        if secret is not None
    ]


def redact_environment_tokens(settings: Settings, redact: Redactor) -> None:
    """Let no log line show the tokens that the settings hand in."""
    for secret in (settings.token, settings.read_token):
        if secret is not None:
            redact.add(Secret(secret.get_secret_value()), parts=False)  # people choose them: "orchestrator-…"
