"""Repeats a call that was refused because of its key, once, if the key has been replaced since.

Keys are rotated while jobs run for hours, and the tokens of some providers are valid for one hour. A call that is
refused with 401 or 403 had no effect, even if it would have created something: it may be sent again under the same
intent until the intent's deadline. (AWS refuses an expired token with 403.) The new key must belong to the same
organisation, or a job could be created in an account where it was not looked up before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Final

from orchestrator.core.errors import AuthenticationFailed, ProviderError, TemporaryError, TrainingNotAllowed
from orchestrator.providers.base import Deadline, ProviderConnection

MIN_RESEND_SECONDS: Final = 1.0
"""Time that must be left until the deadline to repeat a call that creates something."""

ReloadKey = Callable[[ProviderConnection], Awaitable[ProviderConnection | None]]
"""Reads the key again and returns a verified connection; None if the key is the same. Raises ProviderError."""


@dataclass(slots=True, eq=False)
class RenewingProvider:
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
            _check_time_left((*arguments, *options.values()), renewed.account.name)
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


def _check_time_left(arguments: tuple[Any, ...], account: str) -> None:
    """Raise TemporaryError if the deadline is too near: the next attempt writes a new intent."""
    deadline = next((argument for argument in arguments if isinstance(argument, Deadline)), None)
    if deadline is not None and deadline.seconds_left < MIN_RESEND_SECONDS:
        raise TemporaryError(
            "the key was replaced, but the deadline of this attempt is too near to send with it", account=account
        )
