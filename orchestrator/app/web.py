"""Web: what the web door is handed. It opens no database, so each thing that it may ask is a function made here."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from structlog.stdlib import BoundLogger

from orchestrator import control
from orchestrator.control import Verb
from orchestrator.core.errors import DatabaseAway
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.token import ENVIRONMENT, Role, Token, hash_of
from orchestrator.daemon.service import Service
from orchestrator.settings import Settings
from orchestrator.status import Health, Status, look
from orchestrator.store import tokens
from orchestrator.store.database import UNREACHABLE, Database

if TYPE_CHECKING:
    from orchestrator.web.program import Program

LONGEST_SILENCE = 30.0  # seconds without a tick before /readyz says so
P = ParamSpec("P")
T = TypeVar("T")


class Inside:
    """One process's answers to its web door."""

    def __init__(
        self, database: Database, settings: Settings, service: Service, now: Callable[[], float], log: BoundLogger
    ) -> None:
        self._database = database
        self._given = environment_tokens(settings)
        self._secret = settings.token or settings.read_token
        self._service = service
        self._now = now
        self._log = log

    def program(self) -> Program:
        """All of them."""
        from orchestrator.web.program import Program

        return Program(
            now=self._now,
            status=self._told(self.status),
            health=self.health,
            tokens=self._told(self.tokens),
            token_used=self.token_used,
            session_key=self.session_key(),
            act=self._told(self.act),
        )

    async def status(self) -> Status:
        return await look(self._database, self._now())

    async def health(self) -> Health:
        silent = self._service.silent_for
        return Health(
            database=await self._database.reachable(),
            ticking=silent is not None and silent < LONGEST_SILENCE,
            problem=self._service.problem,
        )

    async def tokens(self) -> Sequence[Token]:
        """The settings' tokens and the database's."""
        async with self._database.read() as connection:
            return [*self._given, *await tokens.every(connection)]

    async def token_used(self, token: Token) -> None:
        """Note it; a database that cannot be written keeps nobody out."""
        if token in self._given:
            return
        now = self._now()
        try:
            await self._database.write(lambda connection: tokens.note_use(connection, token.name, now))
        except UNREACHABLE as error:
            self._log.warning("database.unreachable", message=str(error.__cause__ or error))

    def session_key(self) -> bytes:
        """What browsers' sessions are signed with: with a token in the settings they survive a restart."""
        given = self._secret.get_secret_value().encode() if self._secret else secrets.token_bytes()
        return sha256(b"orchestrator sessions " + given).digest()

    async def act(self, verb: Verb, accounts: Sequence[str], *, reason: str, by: str) -> Sequence[str]:
        """Do what an operator asks. Returns the accounts of which it was asked."""
        database, now = self._database, self._now()
        match verb:
            case Verb.APPROVE:
                await control.approve(database, by=by, now=now)
            case Verb.WAIVE:
                await control.waive_moderation(database, reason=reason, by=by, now=now)
            case Verb.START:
                await control.start(database, by=by, now=now)
            case Verb.HOLD:
                await control.hold_accounts(database, accounts, reason=reason, by=by, now=now)
            case Verb.RELEASE:
                await control.release_accounts(database, accounts, by=by, now=now)
            case Verb.CANCEL | Verb.RETRY:
                ask = control.cancel if verb is Verb.CANCEL else control.retry
                return [job.account for job in await ask(database, accounts, by=by, now=now)]
        return accounts

    def _told(self, ask: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """The same, saying in our words when the database is away."""

        @wraps(ask)
        async def asked(*arguments: P.args, **options: P.kwargs) -> T:
            try:
                return await ask(*arguments, **options)
            except UNREACHABLE as error:
                self._log.error("database.unreachable", message=str(error.__cause__ or error))
                raise DatabaseAway("the database does not answer") from error

        return asked


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
            redact.add(Secret(secret.get_secret_value()))
