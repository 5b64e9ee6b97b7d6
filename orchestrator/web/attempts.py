"""Attempts: wrong tokens, counted by address and all together, so that trying them out takes for ever."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address
from math import ceil
from typing import Final

from fastapi import Request

MOST: Final = 10  # wrong tokens of one address in a minute
MOST_IN_ALL: Final = 100
REMEMBERED: Final = 1000  # addresses
_MINUTE: Final = 60.0


@dataclass(slots=True)
class _Leak:
    """So many wrong tokens by `at`; they are forgotten evenly, `most` a minute."""

    most: int
    count: float = 0.0
    at: float = 0.0

    def level(self, now: float) -> float:
        return max(0.0, self.count - max(0.0, now - self.at) * self.most / _MINUTE)

    def add(self, now: float) -> None:
        self.count, self.at = self.level(now) + 1, now

    def wait(self, now: float) -> float:
        return max(0.0, (self.level(now) - self.most + 1) * _MINUTE / self.most)


class Attempts:
    """Knows the last thousand addresses that sent a wrong token, and how many came in all."""

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _Leak] = OrderedDict()
        self._all = _Leak(MOST_IN_ALL)

    def wait(self, address: str, now: float) -> int:
        """Seconds until this address may try again; 0 is now."""
        own = self._by_address.get(address)
        return ceil(max(self._all.wait(now), own.wait(now) if own else 0.0))

    def failed(self, address: str, now: float) -> None:
        """A wrong token came from there."""
        self._all.add(now)
        self._by_address.setdefault(address, _Leak(MOST)).add(now)
        self._by_address.move_to_end(address)
        if len(self._by_address) > REMEMBERED:
            self._by_address.popitem(last=False)


def address_of(request: Request) -> str:
    """Where a request comes from; of IPv6 the network, because one line has all of its addresses."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(IPv6Network((int(address), 64), strict=False))
