"""Proxy: which way leads out of a company's network, by the usual variables or by an account's own option.

`HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` name proxies, `NO_PROXY` the hosts that are reached without one. Lower
case is understood as well and goes first, as in curl. A proxy's password is a secret: a `Proxy` shows its address
only.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import unquote, urlsplit

from orchestrator.core.errors import ConfigError
from orchestrator.core.loopback import is_loopback
from orchestrator.core.secret import Secret

DIRECT_KEYWORDS: Final = ("none", "direct")
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
INVALID_ADDRESS_MESSAGE: Final = "must be an address such as http://proxy.example:3128"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `source` is where it was named, for messages."""

    url: str
    source: str
    credentials: Secret | None = field(default=None, repr=False)
    original_address: Secret | None = field(default=None, repr=False)
    """The address as it was written, credentials and all, without its scheme. Set together with `credentials`."""

    @property
    def authorization(self) -> str | None:
        """The value of `Proxy-Authorization`."""
        if self.credentials is None:
            return None
        return "Basic " + b64encode(self.credentials.reveal().encode()).decode()

    def secrets(self) -> Iterator[Secret]:
        """Every form in which the password may turn up in a text.

        The redactor does not replace a text of fewer than eight characters, because such a text occurs by chance. A
        short password is therefore hidden by the forms that hold more than it: with its user, and in its address.
        """
        if self.credentials is None:
            return
        _, _, password = self.credentials.reveal().partition(":")
        encoded = (self.authorization or "").removeprefix("Basic ")
        for form in (password, self.credentials.reveal(), encoded):
            yield Secret(form)
        if self.original_address is not None:
            yield self.original_address

    def __str__(self) -> str:
        return f"{self.url} ({self.source})"


def parse_proxy(text: str, source: str) -> Proxy:
    """The proxy at an address. ValueError, without the address, when it cannot be one."""
    value = text.strip()
    if "://" not in value:
        value = f"http://{value}"
    try:
        url = urlsplit(value)
        host, port = url.hostname, url.port
    except ValueError:
        raise ValueError(INVALID_ADDRESS_MESSAGE) from None
    if url.scheme.startswith("socks"):
        raise ValueError(f"is a SOCKS proxy, which is not supported; it {INVALID_ADDRESS_MESSAGE}")
    if not host or url.scheme not in DEFAULT_PORTS or any(character.isspace() for character in value):
        raise ValueError(INVALID_ADDRESS_MESSAGE)
    shown = f"[{host}]" if ":" in host else host
    credentials = written = None
    if url.username is not None:
        credentials = Secret(f"{unquote(url.username)}:{unquote(url.password or '')}")
        written = Secret(url.netloc)
    return Proxy(f"{url.scheme}://{shown}:{port or DEFAULT_PORTS[url.scheme]}", source, credentials, written)


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """Which proxy leads to which address. `named` is the text of each variable, by its name in lower case."""

    variables: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    no_proxy: tuple[str, ...] = ()
    account_proxy: Proxy | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> ProxyRules:
        """The rules of these variables."""
        named = {}
        for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
            variable = name if name in environ else name.upper()
            if value := environ.get(variable, "").strip():
                named[name] = variable, value
        _, exceptions = named.pop("no_proxy", ("", ""))
        return cls(named, tuple(exceptions.replace(",", " ").split()))

    def find(self, url: str) -> Proxy | None:
        """The proxy that leads to the address; None where it is reached directly. Raises ConfigError."""
        if self.account_proxy is not None:
            return self.account_proxy
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        variable, text = self.variables.get(f"{parts.scheme}_proxy") or self.variables.get("all_proxy") or ("", "")
        if not text or is_loopback(host) or any(_matches(host, port, pattern) for pattern in self.no_proxy):
            return None
        try:
            return parse_proxy(text, variable)
        except ValueError as fault:
            raise ConfigError(
                f"the environment variable {variable} {fault}",
                hint=f"Correct or unset {variable}, or name another proxy with the account's `proxy`.",
            ) from None


def _matches(host: str, port: int, pattern: str) -> bool:
    """Whether a word of NO_PROXY means this host: a name and all below it, an address, a network, or `*`."""
    if pattern == "*":
        return True
    name, wanted_port = _split_host_port(pattern)
    if wanted_port and wanted_port != str(port):
        return False
    try:
        return ip_address(host) in ip_network(name, strict=False)
    except ValueError:
        suffix = name.lstrip("*").strip(".").lower()
        return bool(suffix) and (host.rstrip(".") == suffix or host.rstrip(".").endswith(f".{suffix}"))


def _split_host_port(pattern: str) -> tuple[str, str]:
    """Host and port of a word of NO_PROXY."""
    if pattern.startswith("["):
        host, _, rest = pattern[1:].partition("]")
        return host, rest.removeprefix(":")
    if pattern.count(":") == 1:
        host, _, port = pattern.partition(":")
        return host, port
    return pattern, ""
