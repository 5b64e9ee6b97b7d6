"""Upload address: where a provider wants the file to be sent, and whether the chats may go there.

Together answers an upload with a `Location`, Fireworks with a signed URL. Both are text of a server, and the chats go
wherever it says. The hosts of the providers' storage are published nowhere, so they cannot be listed here. What is
certain is refused: an address in a private network (a server there could be made to act on the request), one without
TLS, one that holds credentials. A public name that leads to a private address needs no look-up: behind it TLS fails,
because a server there has no certificate for that name.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from orchestrator.core.loopback import is_in_private_network


def find_upload_address_problem(address: str, base_url: str) -> str | None:
    """What is wrong with this upload address of the provider at `base_url`, without the parts that may be a key."""
    try:
        url, base = urlsplit(address), urlsplit(base_url)
        host = url.hostname or ""
        shown = f"{url.scheme}://{host}" + (f":{url.port}" if url.port else "")
    except ValueError:
        return "is not a URL"
    reason = _find_reason(url, host, base)
    return f"{shown} {reason}" if reason else None


def _find_reason(url: SplitResult, host: str, base: SplitResult) -> str | None:
    if url.scheme not in ("https", "http"):
        return "is not https"
    if not host:
        return "names no host"
    if "@" in url.netloc:
        return "holds a user or password"
    # `http` as a base URL is allowed to loopback only, and to a private network with `allow_http` (sources/schema).
    base_is_private = base.scheme == "http" or is_in_private_network(base.hostname or "")
    is_private = is_in_private_network(host)
    if is_private and not base_is_private:
        return "is in a private network, and the provider is not"
    if url.scheme == "http" and not is_private:
        return "is not encrypted: everyone on the way could read the chats"
    return None
