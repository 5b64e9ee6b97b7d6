"""Refuses metadata services, where cloud machines offer their credentials (server-side request forgery)."""

from __future__ import annotations

from urllib.parse import urlsplit

from orchestrator.core.loopback import is_metadata_service


def reject_metadata_service(address: str) -> None:
    """Raise ValueError, which does not repeat the address, if its host is a metadata service."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:  # reported by the program that uses the address
        return
    if is_metadata_service(host):
        raise ValueError(
            "is a link-local address or a metadata service, where cloud machines offer their credentials; "
            "write the address of the service that is meant"
        )
