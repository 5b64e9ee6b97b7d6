"""Divides the slots of a process among the servers that its accounts use.

A server may take a slot while it holds fewer than `MAX_HELD_TO_FREE_RATIO` times the slots that are still free. One
slow server gets at most four fifths of the slots, two get 22 of 50 each, and so on: however many servers are slow,
some slots stay free for the others. With a single server there is nothing to share, and it may take every slot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from orchestrator.dispatch.base import ServerLookup

MAX_HELD_TO_FREE_RATIO: Final = 4


def single_server(account: str) -> None:
    """Return None: a `ServerLookup` for accounts that all use one server."""


class SlotAllocator:
    """At most `slot_count` slots, one for each account at work."""

    def __init__(self, slot_count: int, find_server: ServerLookup) -> None:
        self._slot_count = slot_count
        self._find_server: Callable[[str], str | None] = find_server
        # The server when the slot was acquired: the accounts file may name another one before it is released.
        self._server_by_account: dict[str, str | None] = {}
        self._held_by_server: Counter[str | None] = Counter()

    @property
    def free_slots(self) -> int:
        """The number of free slots."""
        return self._slot_count - len(self._server_by_account)

    def acquire(self, account: str) -> bool:
        """Take a slot for the account. Return False if its server may not have another one."""
        server = self._find_server(account)
        held = self._held_by_server[server]
        if self.free_slots <= 0 or (server is not None and held and held >= MAX_HELD_TO_FREE_RATIO * self.free_slots):
            return False
        self._server_by_account[account] = server
        self._held_by_server[server] += 1
        return True

    def release(self, account: str) -> None:
        """Return the account's slot."""
        self._held_by_server[self._server_by_account.pop(account)] -= 1
