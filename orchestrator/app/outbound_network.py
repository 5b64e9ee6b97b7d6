"""Network: how this process gets out, by its environment and by what an account says: proxies and authorities."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from orchestrator.core.account import Account
from orchestrator.core.errors import ConfigError
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.proxy import DIRECT_KEYWORDS, Proxy, ProxyRules, parse_proxy
from orchestrator.core.secret import Redactor, Secret
from orchestrator.inputs.secrets.references import is_reference

TRUST_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class OutboundNetwork:
    """The ways out of one process. What is wrong with them is a ConfigError when they are first needed."""

    def __init__(self, environ: Mapping[str, str], ca_file: Path | None, redact: Redactor) -> None:
        self._environ = environ
        self._ca_file = ca_file
        self._exit_stack = ExitStack()
        self._environment_rules = ProxyRules.from_environment(environ)
        for _, text in self._environment_rules.variables.values():
            _redact_proxy_credentials(text, redact)

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """The authorities that are trusted. Reads files."""
        from orchestrator.providers.http.certificates import build_ssl_context

        return build_ssl_context(self._ca_file, self._environ)

    @cached_property
    def ca_bundle(self) -> str | None:
        """A PEM file with the authorities, for libraries that bring their own; None where nothing was said of any."""
        if not (self._ca_file or any(self._environ.get(name) for name in TRUST_VARIABLES)):
            return None
        made = NamedTemporaryFile("w", prefix="orchestrator-ca-", suffix=".pem")  # noqa: SIM115 - until `close`
        bundle = self._exit_stack.enter_context(made)
        for certificate in self.ssl_context.get_ca_certs(binary_form=True):
            bundle.write(ssl.DER_cert_to_PEM_cert(certificate))
        bundle.flush()
        return bundle.name

    def close(self) -> None:
        """Remove what was made."""
        self._exit_stack.close()

    @property
    def authorities(self) -> str:
        """Where the authorities come from, for people."""
        named = [f"{name} ({self._environ[name]})" for name in TRUST_VARIABLES if self._environ.get(name)]
        extra = [f"ORCHESTRATOR_CA_FILE ({self._ca_file})"] if self._ca_file else []
        return " and ".join([*(named or ["the system's"]), *extra])

    def get_proxy_rules(self, proxy: str | None, secrets: Mapping[str, Secret]) -> ProxyRules:
        """The rules of an account whose option `proxy` says this. `secrets` are addresses by their references."""
        if proxy is None:
            return self._environment_rules
        if proxy in DIRECT_KEYWORDS:
            return ProxyRules()
        address = secrets[proxy].reveal() if is_reference(proxy) else proxy
        source = f"proxy = {proxy}" if is_reference(proxy) else "option proxy"
        try:
            return ProxyRules(account_proxy=parse_proxy(address, source))
        except ValueError as fault:
            raise ConfigError(f"proxy: {proxy} {fault}") from None

    def find_proxy(self, account: Account, secrets: Mapping[str, Secret]) -> Proxy | None:
        """The proxy on the way to the account's provider; None where it is reached directly. Raises ConfigError."""
        return self.find_proxy_for_url(
            account.base_url or PROVIDERS[account.provider].default_base_url or "https://unknown.invalid",
            account.proxy,
            secrets,
        )

    def find_proxy_for_url(
        self, url: str, proxy: str | None = None, secrets: Mapping[str, Secret] | None = None
    ) -> Proxy | None:
        """The proxy on the way to an address."""
        return self.get_proxy_rules(proxy, secrets or {}).find(url)


def _redact_proxy_credentials(text: str, redact: Redactor) -> None:
    try:
        for form in parse_proxy(text, "").secrets():
            redact.add(form, parts=False)  # people choose user and password
    except ValueError:
        return  # said where it is needed, without its text
