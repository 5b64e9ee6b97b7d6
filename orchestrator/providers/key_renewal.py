"""Key renewal: a call whose key the provider refuses is made once more if the key was replaced meanwhile.

Keys are rotated while jobs run for hours, and some providers' tokens live for one hour. A call that is refused with
401 had no effect, also when it would have created something: it may be sent again under the same intent, as long as
that lasts. The new key must belong to the same organisation, or a job could be created in an account where nobody
looked for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Final

from orchestrator.core.errors import AuthenticationFailed, TemporaryError
from orchestrator.providers.base import Deadline, ProviderConnection

MIN_RESEND_SECONDS: Final = 1.0
"""Of an intent that must be left for a call that creates something to be sent again."""

ReloadKey = Callable[[ProviderConnection], Awaitable[ProviderConnection | None]]
"""Read the key again, and return a verified connection with it; None when it is still the same or cannot be read."""


@dataclass(slots=True, eq=False)
class RenewingProvider:
    """One account's provider with the key that is in force. Offers whatever the dialect offers."""

    current: ProviderConnection
    reload_key: ReloadKey
    _lock: asyncio.Lock
    _reload_count: int = 0

    def __getattr__(self, operation: str) -> Any:
        offered = getattr(self.current.provider, operation)
        if not iscoroutinefunction(offered):
            return offered

        async def call(*arguments: Any, **options: Any) -> Any:
            used = self.current
            try:
                return await getattr(used.provider, operation)(*arguments, **options)
            except AuthenticationFailed:
                renewed = await self.renew(used)
                if renewed is None:
                    raise
            _check_time_left((*arguments, *options.values()), renewed.account.name)
            return await getattr(renewed.provider, operation)(*arguments, **options)

        return call

    async def renew(self, used_connection: ProviderConnection) -> ProviderConnection | None:
        """Return the connection with the key that replaced the `used` one; None when nothing did.

        One reading at a time: those who wait for it share what it found.
        """
        readings = self._reload_count
        async with self._lock:
            if self.current is not used_connection:
                return self.current
            if self._reload_count != readings:
                return None
            try:
                renewed = await self.reload_key(used_connection)
            finally:
                self._reload_count += 1
            if renewed is not None:
                self.current = renewed
            return renewed


def _check_time_left(arguments: tuple[Any, ...], account: str) -> None:
    """Raise TemporaryError when too little is left of the intent: the next attempt writes a new one."""
    deadline = next((argument for argument in arguments if isinstance(argument, Deadline)), None)
    if deadline is not None and deadline.seconds_left < MIN_RESEND_SECONDS:
        raise TemporaryError("the key was replaced, and the time to send with it is over", account=account)
