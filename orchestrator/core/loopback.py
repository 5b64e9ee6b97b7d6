"""Checks whether a host name belongs to this machine, to a private network or to a metadata service."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Final

PRIVATE_DOMAINS: Final = frozenset({"localhost", "local", "internal", "intranet", "lan", "corp", "home", "arpa"})
"""Last labels of host names that do not exist in the public DNS."""

GOOGLE_METADATA_HOST: Final = "metadata.google.internal"
METADATA_HOSTS: Final = frozenset(
    {GOOGLE_METADATA_HOST, "metadata", "instance-data", "fd00:ec2::254", "100.100.100.200", "192.0.0.192"}
)
"""Where machines at Google, Amazon, Alibaba and Oracle offer their credentials, besides link-local addresses."""


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


def is_metadata_service(host: str) -> bool:
    """Return True for the services where cloud machines offer their credentials, and for every link-local address.

    No provider, proxy or webhook receiver is there. A request to it may obtain credentials, or change the machine.
    """
    name = host.strip("[]").rstrip(".").lower().partition("%")[0]
    if name in METADATA_HOSTS:
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_link_local or str(mapped or address) in METADATA_HOSTS
