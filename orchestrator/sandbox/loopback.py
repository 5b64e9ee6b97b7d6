"""Loopback addresses: the sandbox accepts and sends requests on this machine only.

`core.loopback` has the same function. It is repeated because the sandbox imports nothing of the program it checks.
"""

from __future__ import annotations

from ipaddress import ip_address


class NotLoopback(ValueError):
    """An address would make the sandbox reachable from other machines, or make it call them."""


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is on this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
