"""Checks whether a host name belongs to this machine or to a private network."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

PRIVATE_DOMAINS: Final = frozenset({"localhost", "local", "internal", "intranet", "lan", "corp", "home", "arpa"})
"""Last labels of host names that do not exist in the public DNS."""


def is_loopback(host: str) -> bool:
    """Return True for `localhost` and loopback addresses. Other names are not resolved."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_in_private_network(host: str) -> bool:
    """Return True for this machine, for addresses that are not routed on the internet, and for local names.

    A public name can also have a private address. It is not resolved here and counts as public.
    """
    name = host.strip("[]").rstrip(".").lower()
    try:
        return not ip_address(name).is_global
    except ValueError:
        last = name.rpartition(".")[2]
    is_number = last.isdecimal() or last.startswith("0x")  # 127.1, 2130706433, 0x7f.1: other spellings of an address
    return "." not in name or is_number or last in PRIVATE_DOMAINS
