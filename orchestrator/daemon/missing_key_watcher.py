"""Detects the key of an account that had none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from orchestrator.core.account import Account

KEY_CHECK_SECONDS: Final = 2.0
COMMAND_CHECK_SECONDS: Final = 60.0
"""A command costs a process and perhaps a request to a vault; reading a file costs almost nothing."""


class MissingKeyWatcher:
    """Holds the accounts without a key. `has_key` resolves a reference; it may be slow and is called in a thread."""

    def __init__(self, has_key: Callable[[Account], bool], clock: Callable[[], float]) -> None:
        self._has_key = has_key
        self._clock = clock
        self._missing: dict[str, Account] = {}
        self._next_command_check_at = 0.0

    def watch(self, accounts: Sequence[Account]) -> None:
        """Check for the keys of these accounts from now on, and of no others."""
        self._missing = {account.name: account for account in accounts}
        self._next_command_check_at = self._clock() + COMMAND_CHECK_SECONDS

    async def find_new_keys(self) -> list[str]:
        """Return the names of the accounts that have a key now. Each is returned once per call of `watch`."""
        accounts = [account for account in self._missing.values() if not account.api_key.startswith("cmd:")]
        if self._clock() >= self._next_command_check_at:
            accounts = list(self._missing.values())
            self._next_command_check_at = self._clock() + COMMAND_CHECK_SECONDS
        available = [account for account in accounts if await asyncio.to_thread(self._has_key, account)]
        for account in available:
            self._missing.pop(account.name, None)
        return [account.name for account in available]
