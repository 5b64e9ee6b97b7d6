"""HTTP proxies: which one is used for an address, from the usual environment variables or an account's option.

`HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` name proxies, `NO_PROXY` the hosts that are reached without one. The names
in lower case are read as well and take precedence, as in curl. A proxy's password is a secret: the text of a `Proxy`
contains its address only.
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
    """An HTTP proxy."""

    url: str  # without credentials
    source: str  # the variable or option that names it, for messages
    credentials: Secret | None = field(default=None, repr=False)  # `user:password`
    original_address: Secret | None = field(default=None, repr=False)
    """The address as configured, with credentials and without scheme. Set together with `credentials`."""

    @property
    def authorization(self) -> str | None:
        """The value of the header `Proxy-Authorization`; None without credentials."""
        if self.credentials is None:
            return None
        return "Basic " + b64encode(self.credentials.reveal().encode()).decode()

    def secrets(self) -> Iterator[Secret]:
        """Yield every form in which the password may appear in a text, for the redactor.

        The redactor does not replace texts of fewer than eight characters, because they occur by chance. A short
        password is therefore hidden by longer forms: together with its user, and in the address.
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
    """Parse a proxy address. Raises ValueError, without the address in its text, if it is not valid."""
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
    """The rules that select the proxy for an address."""

    variables: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    """Name and value of each variable that is set, by its name in lower case."""
    no_proxy: tuple[str, ...] = ()  # patterns of NO_PROXY
    account_proxy: Proxy | None = None  # from the account's option; it replaces the variables

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> ProxyRules:
        """Build the rules from environment variables."""
        variables = {}
        for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
            variable = name if name in environ else name.upper()
            if value := environ.get(variable, "").strip():
                variables[name] = variable, value
        _, exceptions = variables.pop("no_proxy", ("", ""))
        return cls(variables, tuple(exceptions.replace(",", " ").split()))

    def find(self, url: str) -> Proxy | None:
        """Return the proxy for a URL; None for a direct connection. Raises ConfigError if a variable is not valid."""
        if self.account_proxy is not None:
            return self.account_proxy
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
        variable, text = self.variables.get(f"{parts.scheme}_proxy") or self.variables.get("all_proxy") or ("", "")
        if not text or is_loopback(host) or any(_matches(host, port, pattern) for pattern in self.no_proxy):
            return None
        try:
            return parse_proxy(text, variable)
        except ValueError as error:
            raise ConfigError(
                f"the environment variable {variable} {error}",
                hint=f"Correct or unset {variable}, or name another proxy with the account's `proxy`.",
            ) from None


def _matches(host: str, port: int, pattern: str) -> bool:
    """Return whether a pattern of NO_PROXY matches: a name with its subdomains, an address, a network, or `*`."""
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
    """Split a pattern of NO_PROXY into host and port; the port is empty if there is none."""
    if pattern.startswith("["):
        host, _, rest = pattern[1:].partition("]")
        return host, rest.removeprefix(":")
    if pattern.count(":") == 1:
        host, _, port = pattern.partition(":")
        return host, port
    return pattern, ""
