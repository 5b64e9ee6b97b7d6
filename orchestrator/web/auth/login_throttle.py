"""Login throttle: limits failed authentication attempts per client address and in total (leaky buckets).

The total limit stops an attacker who uses many addresses. It also delays everyone else, so a valid token that is long
enough is exempt from both limits (see `Authenticator`).
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Network, ip_address
from math import ceil
from typing import Final

from fastapi import Request

from orchestrator.core.structs import Struct

MAX_FAILURES_PER_ADDRESS: Final = 10  # failed attempts from one address in a minute
MAX_FAILURES_IN_TOTAL: Final = 100  # failed attempts from all addresses in a minute
MAX_TRACKED_ADDRESSES: Final = 1000  # bounds the memory that strangers can use up; the oldest is dropped
_MINUTE_SECONDS: Final = 60.0


class _LeakyBucket(Struct):
    """A counter that decreases by `limit_per_minute` every minute. A full bucket makes the client wait."""

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
    """Counts failed attempts of the most recent addresses and of all clients together."""

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _LeakyBucket] = OrderedDict()
        self._all_addresses = _LeakyBucket(MAX_FAILURES_IN_TOTAL)

    def wait_seconds(self, address: str, now: float) -> int:
        """Return the seconds until this address may try again, 0 if it may now. `now` is monotonic time."""
        bucket = self._by_address.get(address)
        return ceil(max(self._all_addresses.wait_seconds(now), bucket.wait_seconds(now) if bucket else 0.0))

    def record_failure(self, address: str, now: float) -> None:
        """Count a failed attempt of this address."""
        self._all_addresses.add(now)
        self._by_address.setdefault(address, _LeakyBucket(MAX_FAILURES_PER_ADDRESS)).add(now)
        self._by_address.move_to_end(address)
        if len(self._by_address) > MAX_TRACKED_ADDRESSES:
            self._by_address.popitem(last=False)


def client_address(request: Request) -> str:
    """Return the client's IPv4 address, or its IPv6 /64 network, all of whose addresses one subscriber controls."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(IPv6Network((int(address), 64), strict=False))
