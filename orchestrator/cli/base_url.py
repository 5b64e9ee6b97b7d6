"""The address of a server of ours, as it is printed."""

from __future__ import annotations


def format_base_url(host: str, port: int) -> str:
    """Format the URL of a server on that host; an IPv6 address stands in brackets, or its colons end the host."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
