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
from orchestrator.app.incoming import Incoming
from orchestrator.core.account import Account
from orchestrator.core.clock import Clock
from orchestrator.core.errors import DatabaseAway
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.token import ENVIRONMENT, Role, Token, hash_of
from orchestrator.daemon.service import Service
from orchestrator.daemon.webhooks import Ear
from orchestrator.settings import Settings
from orchestrator.status import Health
from orchestrator.store.database import Database

if TYPE_CHECKING:
    from orchestrator.metrics import Metrics
    from orchestrator.web.program import Program

LONGEST_SILENCE = 30.0  # seconds without a tick before /readyz says so
P = ParamSpec("P")
T = TypeVar("T")


class Inside:
    """One process's answers to its web door."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        service: Service,
        incoming: Incoming,
        clock: Clock,
        log: BoundLogger,
        metrics: Metrics,
        listed: Callable[[], Mapping[str, Account]] = dict,
    ) -> None:
        self._database = database
        self._given = environment_tokens(settings)
        self._secret = settings.token or settings.read_token
        self._service = service
        self._incoming = incoming
        self._ear = Ear(nudge=service.nudge, now=clock.now, shortest=settings.poll_min_seconds, log=log)
        self._metrics = metrics
        self._listed = listed
        self._clock = clock

    def program(self, stopping: asyncio.Event, *, max_listeners: int = 200) -> Program:
        """All of them; `stopping` ends what streams, and only so many may."""
        from orchestrator.web.program import Program

        return Program(
            now=self._clock.now,
            boottime=self._clock.boottime,
            call=self.call,
            health=self.health,
            metrics=self._metrics.page,
            tokens=self.tokens,
            token_used=self.token_used,
            session_key=self.session_key(),
            hear=self.hear,
            listed=self._listed,
            committed=self._database.committed,
            stopping=stopping,
            max_listeners=max_listeners,
        )

    async def call(
        self, ask: Callable[Concatenate[Database, P], Awaitable[T]], /, *arguments: P.args, **options: P.kwargs
    ) -> T:
        """What `ask` says of the database, or does to it. Raises DatabaseAway."""
        try:
            return await ask(self._database, *arguments, **options)
        except DatabaseAway as error:  # without the reason, which names places that not every reader may know
            raise DatabaseAway("the database does not answer") from error

    async def health(self) -> Health:
        """Whether this process can do its work, and why not."""
        silent = self._service.silent_for
        reachable = await self._database.reachable()
        reason = self._database.outage.summary if not reachable else _describe_silence(silent)
        return Health(
            database=reachable,
            ticking=_describe_silence(silent) is None,
            problem=problem.failure if (problem := self._service.problem) else None,
            reason=reason,
        )

    async def tokens(self) -> Sequence[Token]:
        """The settings' tokens and the database's."""
        return [*self._given, *await self.call(status.tokens)]

    async def token_used(self, token: Token) -> None:
        """Note it; a database that cannot be written keeps nobody out."""
        if token in self._given:
            return
        with suppress(DatabaseAway):
            await control.note_use(self._database, token.name, now=self._clock.now())

    def session_key(self) -> bytes:
        """What browsers' sessions are signed with: with a token in the settings they survive a restart."""
        given = self._secret.get_secret_value().encode() if self._secret else secrets.token_bytes()
        return sha256(b"orchestrator sessions " + given).digest()

    async def hear(self, account: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Take a webhook; False when it is not genuine."""
        return await self.call(self._incoming.receive, self._ear, account, headers, body)


def _describe_silence(seconds: float | None) -> str | None:
    """Why a service that last ticked so long ago is not ready; None where it is."""
    if seconds is None:
        return "the service is starting or stopping"
    if 0 <= seconds < LONGEST_SILENCE:
        return None
    return f"the service has not ticked for {seconds:.0f} s"


def environment_tokens(settings: Settings) -> list[Token]:
    """The tokens that the settings hand in."""
    given = {Role.OPERATOR: settings.token, Role.READER: settings.read_token}
    return [
        Token(
            name=ENVIRONMENT,
            role=role,
            hash=hash_of(secret.get_secret_value().encode()),
            created_at=0.0,
            created_by=ENVIRONMENT,
        )
        for role, secret in given.items()
        if secret is not None
    ]


def hide_tokens(settings: Settings, redact: Redactor) -> None:
    """Let no log line show the tokens that the settings hand in."""
    for secret in (settings.token, settings.read_token):
        if secret is not None:
            redact.add(Secret(secret.get_secret_value()), parts=False)  # people choose them: "orchestrator-…"
