"""Attempts: wrong tokens, counted by address and all together, so that trying them out takes for ever."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address
from math import ceil
from typing import Final

from fastapi import Request

MAX_FAILURES_PER_ADDRESS: Final = 10  # wrong tokens of one address in a minute
MAX_FAILURES_IN_TOTAL: Final = 100
MAX_TRACKED_ADDRESSES: Final = 1000  # addresses
_MINUTE_SECONDS: Final = 60.0


@dataclass(slots=True)
class _LeakyBucket:
    """So many wrong tokens by `at`; they are forgotten evenly, `most` a minute."""

    limit_per_minute: int
    count: float = 0.0
    updated_at: float = 0.0

    def level(self, now: float) -> float:
        return max(0.0, self.count - max(0.0, now - self.updated_at) * self.limit_per_minute / _MINUTE_SECONDS)

    def add(self, now: float) -> None:
        self.count, self.updated_at = self.level(now) + 1, now

    def wait_seconds(self, now: float) -> float:
        return max(0.0, (self.level(now) - self.limit_per_minute + 1) * _MINUTE_SECONDS / self.limit_per_minute)


class LoginThrottle:
    """Knows the last thousand addresses that sent a wrong token, and how many came in all."""

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _LeakyBucket] = OrderedDict()
        self._all_addresses = _LeakyBucket(MAX_FAILURES_IN_TOTAL)

    def wait_seconds(self, address: str, now: float) -> int:
        """Seconds until this address may try again; 0 is now."""
        own = self._by_address.get(address)
        return ceil(max(self._all_addresses.wait_seconds(now), own.wait_seconds(now) if own else 0.0))

    def record_failure(self, address: str, now: float) -> None:
        """A wrong token came from there."""
        self._all_addresses.add(now)
        self._by_address.setdefault(address, _LeakyBucket(MAX_FAILURES_PER_ADDRESS)).add(now)
        self._by_address.move_to_end(address)
        if len(self._by_address) > MAX_TRACKED_ADDRESSES:
            self._by_address.popitem(last=False)


def client_address(request: Request) -> str:
    """Where a request comes from; of IPv6 the network, because one line has all of its addresses."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(IPv6Network((int(address), 64), strict=False))
