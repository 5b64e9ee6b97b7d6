"""Loopback: the sandbox and what it sends stay on this machine."""

from __future__ import annotations

from ipaddress import ip_address


class NotLoopback(ValueError):
    """The sandbox would be reachable from other machines, or would reach them."""


def is_loopback(host: str) -> bool:
    """Whether the address stays on this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
