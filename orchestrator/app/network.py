"""Network: how this process gets out, by its environment and by what an account says: proxies and authorities."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from orchestrator.core.account import DEFAULT_URLS, Account
from orchestrator.core.errors import ConfigError
from orchestrator.core.proxy import DIRECT, Proxy, ProxyRules, parse_proxy
from orchestrator.core.secret import Redactor, Secret
from orchestrator.sources.secrets import is_reference

TRUST_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Network:
    """The ways out of one process. What is wrong with them is a ConfigError when they are first needed."""

    def __init__(self, environ: Mapping[str, str], ca_file: Path | None, redact: Redactor) -> None:
        self._environ = environ
        self._ca_file = ca_file
        self._closing = ExitStack()
        self._usual = ProxyRules.of_environment(environ)
        for _, text in self._usual.named.values():
            _hide(text, redact)

    @cached_property
    def context(self) -> ssl.SSLContext:
        """The authorities that are trusted. Reads files."""
        from orchestrator.providers.certificates import build_ssl_context

        return build_ssl_context(self._ca_file, self._environ)

    @cached_property
    def ca_bundle(self) -> str | None:
        """A PEM file with the authorities, for libraries that bring their own; None where nothing was said of any."""
        if not (self._ca_file or any(self._environ.get(name) for name in TRUST_VARIABLES)):
            return None
        made = NamedTemporaryFile("w", prefix="orchestrator-ca-", suffix=".pem")  # noqa: SIM115 - until `close`
        bundle = self._closing.enter_context(made)
        for certificate in self.context.get_ca_certs(binary_form=True):
            bundle.write(ssl.DER_cert_to_PEM_cert(certificate))
        bundle.flush()
        return bundle.name

    def close(self) -> None:
        """Remove what was made."""
        self._closing.close()

    @property
    def authorities(self) -> str:
        """Where the authorities come from, for people."""
        named = [f"{name} ({self._environ[name]})" for name in TRUST_VARIABLES if self._environ.get(name)]
        extra = [f"ORCHESTRATOR_CA_FILE ({self._ca_file})"] if self._ca_file else []
        return " and ".join([*(named or ["the system's"]), *extra])

    def rules(self, proxy: str | None, secrets: Mapping[str, Secret]) -> ProxyRules:
        """The rules of an account whose option `proxy` says this. `secrets` are addresses by their references."""
        if proxy is None:
            return self._usual
        if proxy in DIRECT:
            return ProxyRules()
        address = secrets[proxy].reveal() if is_reference(proxy) else proxy
        source = f"proxy = {proxy}" if is_reference(proxy) else "option proxy"
        try:
            return ProxyRules(fixed=parse_proxy(address, source))
        except ValueError as fault:
            raise ConfigError(f"proxy: {proxy} {fault}") from None

    def find(self, account: Account, secrets: Mapping[str, Secret]) -> Proxy | None:
        """The proxy on the way to the account's provider; None where it is reached directly. Raises ConfigError."""
        return self.find_for(
            account.base_url or DEFAULT_URLS.get(account.provider, "https://unknown.invalid"), account.proxy, secrets
        )

    def find_for(
        self, url: str, proxy: str | None = None, secrets: Mapping[str, Secret] | None = None
    ) -> Proxy | None:
        """The proxy on the way to an address."""
        return self.rules(proxy, secrets or {}).find(url)


def _hide(text: str, redact: Redactor) -> None:
    try:
        for form in parse_proxy(text, "").secrets():
            redact.add(form, parts=False)  # people choose user and password
    except ValueError:
        return  # said where it is needed, without its text
