"""The token of the resource manager, which an account's `management_key` refers to.

It is read when the first call needs it, not at the start: a command such as `az` takes seconds, and an account that
only trains works without it. It is valid for about an hour, so it is read again when the resource manager refuses it.
"""

from __future__ import annotations

import asyncio

from orchestrator.core.secret import Secret
from orchestrator.providers.base import SecretLoader


class ManagementToken:
    """The current token of one reference. All accounts with the same reference share it."""

    __slots__ = ("_current", "_load_secret", "_lock", "_reference")

    def __init__(self, reference: str, load_secret: SecretLoader) -> None:
        self._reference = reference
        self._load_secret = load_secret
        self._lock = asyncio.Lock()
        self._current: Secret | None = None

    async def get(self) -> Secret:
        """Return the token. Raises TemporaryError if it cannot be read."""
        async with self._lock:
            if self._current is None:
                self._current = await self._load_secret(self._reference)
            return self._current

    async def renew(self, refused: Secret) -> Secret | None:
        """Return the token that replaces a refused one; None if the reference still leads to that one.

        Concurrent callers share one reading: each refused call would otherwise start the command again.
        """
        async with self._lock:
            if self._current is None or self._current.fingerprint == refused.fingerprint:
                self._current = await self._load_secret(self._reference)
            return None if self._current.fingerprint == refused.fingerprint else self._current
