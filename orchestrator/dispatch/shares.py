"""Shares: how the slots of a process are divided among the servers that its accounts lead to.

How it works. A server may take slots as long as it has fewer than `GREED` times the slots that are still free. One
slow server alone gets four fifths of them, two get 22 of 50 each, and so on: however many are slow, some slots stay
free, and a server that answers finds one. With a single server there is nobody to share with, and it may have every
slot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from orchestrator.dispatch.base import ServerOf

GREED: Final = 4


def one_server(account: str) -> None:
    """A `ServerOf` for accounts that all lead to one server."""


class Shares:
    """At most `most` slots, one for each account at work."""

    def __init__(self, most: int, server_of: ServerOf) -> None:
        self._most = most
        self._server_of: Callable[[str], str | None] = server_of
        self._taken: dict[str, str | None] = {}  # server by account: it may lead elsewhere by the time it is done
        self._by_server: Counter[str | None] = Counter()

    @property
    def free(self) -> int:
        """How many slots are free."""
        return self._most - len(self._taken)

    def take(self, account: str) -> bool:
        """Take a slot for the account, if its server may have one more."""
        server = self._server_of(account)
        held = self._by_server[server]
        if self.free <= 0 or (server is not None and held and held >= GREED * self.free):
            return False
        self._taken[account] = server
        self._by_server[server] += 1
        return True

    def release(self, account: str) -> None:
        """Give the account's slot back."""
        self._by_server[self._taken.pop(account)] -= 1
