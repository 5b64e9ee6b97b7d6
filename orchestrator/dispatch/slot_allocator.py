"""Shares: how the slots of a process are divided among the servers that its accounts lead to.

How it works. A server may take slots as long as it has fewer than `MAX_HELD_TO_FREE_RATIO` times the slots that are
still free. One slow server alone gets four fifths of them, two get 22 of 50 each, and so on: however many are slow,
some slots stay free, and a server that answers finds one. With a single server there is nobody to share with, and it
may have every slot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from orchestrator.dispatch.base import ServerLookup

MAX_HELD_TO_FREE_RATIO: Final = 4


def single_server(account: str) -> None:
    """A `ServerLookup` for accounts that all lead to one server."""


class SlotAllocator:
    """At most `most` slots, one for each account at work."""

    def __init__(self, slot_count: int, find_server: ServerLookup) -> None:
        self._slot_count = slot_count
        self._find_server: Callable[[str], str | None] = find_server
        self._server_by_account: dict[
            str, str | None
        ] = {}  # server by account: it may lead elsewhere by the time it is done
        self._held_by_server: Counter[str | None] = Counter()

    @property
    def free_slots(self) -> int:
        """How many slots are free."""
        return self._slot_count - len(self._server_by_account)

    def acquire(self, account: str) -> bool:
        """Take a slot for the account, if its server may have one more."""
        server = self._find_server(account)
        held = self._held_by_server[server]
        if self.free_slots <= 0 or (server is not None and held and held >= MAX_HELD_TO_FREE_RATIO * self.free_slots):
            return False
        self._server_by_account[account] = server
        self._held_by_server[server] += 1
        return True

    def release(self, account: str) -> None:
        """Give the account's slot back."""
        self._held_by_server[self._server_by_account.pop(account)] -= 1
