"""Checks the address that a provider names for an upload, before the chats are sent there.

Together responds to an upload with a `Location`, Fireworks with a signed URL. Both are text from a server, and the
chats are sent wherever it points. The hosts of the providers' storage are not published, so there can be no list of
allowed ones. Refused is what is certainly wrong: an address in a private network (server-side request forgery), one
without TLS, one with credentials. A public name that resolves to a private address needs no check: TLS fails there,
because a server in the private network has no certificate for that name.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from orchestrator.core.loopback import is_in_private_network, is_metadata_service


def find_upload_address_problem(address: str, base_url: str) -> str | None:
    """Return what is wrong with an upload address, without the parts that may be a key; None if it is allowed."""
    return find_address_problem(address, base_url, "the chats")


def find_address_problem(address: str, base_url: str, content: str) -> str | None:
    """Return what is wrong with an address to which `content` would be sent, on the word of somebody else."""
    try:
        url, base = urlsplit(address), urlsplit(base_url)
        host = url.hostname or ""
        shown = f"{url.scheme}://{host}" + (f":{url.port}" if url.port else "")
    except ValueError:
        return "is not a URL"
    reason = _find_reason(url, host, base, content)
    return f"{shown} {reason}" if reason else None


def _find_reason(url: SplitResult, host: str, base: SplitResult, content: str) -> str | None:
    if url.scheme not in ("https", "http"):
        return "is not https"
    if not host:
        return "names no host"
    if "@" in url.netloc:
        return "contains a user or password"
    if is_metadata_service(host):
        return "is a metadata service, where cloud machines offer their credentials"
    # `http` as a base URL is allowed to loopback, and to private networks with `allow_http`.
    base_is_private = base.scheme == "http" or is_in_private_network(base.hostname or "")
    is_private = is_in_private_network(host)
    if is_private and not base_is_private:
        return "is in a private network, and the provider is not"
    if url.scheme == "http" and not is_private:
        return f"is not encrypted: {content} could be read on the network"
    return None
