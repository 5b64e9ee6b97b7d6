"""Checks the address to which a request goes without TLS, once the connection shows it."""

from __future__ import annotations

from ipaddress import ip_address

from orchestrator.core.loopback import GOOGLE_METADATA_HOST, is_metadata_service
from orchestrator.providers.http.transport_errors import ConnectionFailed


def check_plain_peer(address: str | None, host: str) -> None:
    """Raise ConnectionFailed if `host` led to an address to which no key may be sent unencrypted.

    These are public addresses and, unless the host is the address itself or Google's metadata server, the metadata
    services of clouds. The accounts file was checked for both, but the answer of the DNS can change at any time.
    """
    if address is None:
        return
    if ip_address(address.partition("%")[0]).is_global:
        raise ConnectionFailed(
            f"{address} is a public address, where http:// would send the key unencrypted",
            "Use https:// in `base_url`; http:// is for private networks.",
        )
    if is_metadata_service(address) and host not in {address, GOOGLE_METADATA_HOST}:
        raise ConnectionFailed(
            f"{host} leads to {address}, a metadata service, where cloud machines offer their credentials",
            "Correct the address in the accounts file, or what the DNS answers for this name.",
        )
