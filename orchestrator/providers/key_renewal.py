"""Repeats a call that was refused because of its key or its access token, once, with the one that replaced it.

Keys are rotated while jobs run for hours, and the tokens of some providers are valid for one hour. A call that is
refused with 401 or 403 had no effect, even if it would have created something: it may be sent again under the same
intent until the intent's deadline. (AWS refuses an expired token with 403.) The new key must belong to the same
organisation, or a job could be created in an account where it was not looked up before.

`RenewingProvider` reads the key of an account again. `TokenRefreshingProvider` is below it for a key that is not sent
itself: tokens are obtained with it, and replaced before they expire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, Final, Protocol, TypeVar

from orchestrator.core.errors import (
    AuthenticationFailed,
    ProviderError,
    ProviderUnavailable,
    TemporaryError,
    TrainingNotAllowed,
)
from orchestrator.core.secret import Secret
from orchestrator.core.structs import Struct
from orchestrator.providers.base import Deadline, Provider, ProviderConnection

MIN_RESEND_SECONDS: Final = 1.0
"""Time that must be left until the deadline to repeat a call that creates something."""

TOKEN_TIMEOUT_SECONDS: Final = 60.0

T = TypeVar("T")
ReloadKey = Callable[[ProviderConnection], Awaitable[ProviderConnection | None]]
"""Reads the key again and returns a verified connection; None if the key is the same. Raises ProviderError."""


class RenewingProvider(Struct, eq=False):
    """One account's provider with the current key. Has every method that the dialect has."""

    current: ProviderConnection
    reload_key: ReloadKey
    _lock: asyncio.Lock
    _reload_count: int = 0
    _reload_error: ProviderError | None = None  # of the last reading, for those who waited for it

    def __getattr__(self, operation: str) -> Any:
        offered = getattr(self.current.provider, operation)
        if not iscoroutinefunction(offered):
            return offered

        async def call(*arguments: Any, **options: Any) -> Any:
            used = self.current
            try:
                return await getattr(used.provider, operation)(*arguments, **options)
            except (AuthenticationFailed, TrainingNotAllowed):
                renewed = await self.renew(used)
                if renewed is None:
                    raise
            check_time_left(find_deadline((*arguments, *options.values())), renewed.account.name)
            return await getattr(renewed.provider, operation)(*arguments, **options)

        return call

    async def renew(self, used_connection: ProviderConnection) -> ProviderConnection | None:
        """Return the connection with the key that replaced the used one; None if the key was not replaced.

        Concurrent callers share one reading: 50 refused calls must not start the key's command 50 times.
        """
        reload_count = self._reload_count
        async with self._lock:
            if self.current is not used_connection:
                return self.current
            if self._reload_count != reload_count:  # another caller has read the key meanwhile
                if self._reload_error is not None:
                    raise self._reload_error
                return None  # and it was the same
            self._reload_error = None
            try:
                renewed = await self.reload_key(used_connection)
            except ProviderError as error:
                self._reload_error = error
                raise
            finally:
                self._reload_count += 1
            if renewed is not None:
                self.current = renewed
            return renewed


def find_deadline(arguments: tuple[Any, ...]) -> Deadline | None:
    """Return the deadline among the arguments of a call; None for a call that creates nothing."""
    return next((argument for argument in arguments if isinstance(argument, Deadline)), None)


def check_time_left(deadline: Deadline | None, account: str) -> None:
    """Raise TemporaryError if the deadline is too near: the next attempt writes a new intent."""
    if deadline is not None and deadline.seconds_left < MIN_RESEND_SECONDS:
        raise TemporaryError(
            "the key was replaced, but the deadline of this attempt is too near to send with it", account=account
        )


class TokenSource(Protocol):
    """Obtains access tokens with a key."""

    async def get_token(self, account: str) -> Secret:
        """Return a token that is valid for some minutes. Raises ProviderError."""

    async def replace_token(self, refused: Secret, account: str) -> Secret | None:
        """Return the token that replaces a refused one; None if no other would be accepted. Raises ProviderError."""

    def confirm_token(self, token: Secret) -> None:
        """Record that the provider has accepted the token."""


class TokenRefreshingProvider:
    """One account's provider. Has every method that the dialect has."""

    def __init__(self, tokens: TokenSource, connect: Callable[[Secret], Provider], account: str) -> None:
        """`connect` connects the account with an access token; it does no I/O."""
        self._tokens = tokens
        self._connect = connect
        self._account = account
        self._token = Secret("")
        self._provider = connect(self._token)  # the methods' owner until there is a token

    def __getattr__(self, operation: str) -> Any:
        offered = getattr(self._provider, operation)
        if not iscoroutinefunction(offered):
            return offered

        async def call(*arguments: Any, **options: Any) -> Any:
            deadline = find_deadline((*arguments, *options.values()))
            token = await self._wait(self._tokens.get_token(self._account), deadline)
            try:
                result = await getattr(self._use(token), operation)(*arguments, **options)
            except (AuthenticationFailed, TrainingNotAllowed):
                renewed = await self._wait(self._tokens.replace_token(token, self._account), deadline)
                if renewed is None:
                    raise
            else:
                self._tokens.confirm_token(token)
                return result
            check_time_left(deadline, self._account)
            result = await getattr(self._use(renewed), operation)(*arguments, **options)
            self._tokens.confirm_token(renewed)
            return result

        return call

    def _use(self, token: Secret) -> Provider:
        if token is not self._token:
            self._token, self._provider = token, self._connect(token)
        return self._provider

    async def _wait(self, obtaining: Awaitable[T], deadline: Deadline | None) -> T:
        """Wait for a token, not longer than a read may take and not beyond the deadline of a call that creates."""
        seconds = TOKEN_TIMEOUT_SECONDS if deadline is None else max(deadline.seconds_left, 0)
        try:
            async with asyncio.timeout(min(seconds, TOKEN_TIMEOUT_SECONDS)):
                return await obtaining
        except TimeoutError:
            raise ProviderUnavailable("no access token could be obtained in time", account=self._account) from None
