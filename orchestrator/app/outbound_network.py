"""Outbound network: the proxies and certificate authorities of the environment, the settings and the accounts."""

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
from orchestrator.core.providers import find_base_url
from orchestrator.core.proxy import DIRECT_KEYWORDS, Proxy, ProxyRules, parse_proxy
from orchestrator.core.secret import Redactor, Secret
from orchestrator.inputs.secrets.references import is_reference

TRUST_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class OutboundNetwork:
    """Finds the proxy of each request and loads the certificate authorities.

    Invalid values raise ConfigError when they are first used, so that commands without requests work despite them.
    """

    def __init__(self, environ: Mapping[str, str], ca_file: Path | None, redact: Redactor) -> None:
        self._environ = environ
        self._ca_file = ca_file
        self._exit_stack = ExitStack()
        self._environment_rules = ProxyRules.from_environment(environ)
        for _, text in self._environment_rules.variables.values():
            _redact_proxy_credentials(text, redact)

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """Load the trusted certificate authorities. Reads files. Raises ConfigError."""
        from orchestrator.providers.http.certificates import build_ssl_context

        return build_ssl_context(self._ca_file, self._environ)

    @cached_property
    def ca_bundle(self) -> str | None:
        """Write the authorities to a PEM file for libraries with their own TLS settings, and return its path.

        Returns None if neither the environment nor the settings name any.
        """
        if not (self._ca_file or any(self._environ.get(name) for name in TRUST_VARIABLES)):
            return None
        file = NamedTemporaryFile("w", prefix="orchestrator-ca-", suffix=".pem")  # noqa: SIM115 - until `close`
        bundle = self._exit_stack.enter_context(file)
        for certificate in self.ssl_context.get_ca_certs(binary_form=True):
            bundle.write(ssl.DER_cert_to_PEM_cert(certificate))
        bundle.flush()
        return bundle.name

    def close(self) -> None:
        """Delete the PEM file, if there is one."""
        self._exit_stack.close()

    @property
    def authorities(self) -> str:
        """Describe the sources of the authorities in one line."""
        from_environment = [f"{name} ({self._environ[name]})" for name in TRUST_VARIABLES if self._environ.get(name)]
        extra = [f"ORCHESTRATOR_CA_FILE ({self._ca_file})"] if self._ca_file else []
        return " and ".join([*(from_environment or ["the system's"]), *extra])

    def get_proxy_rules(self, proxy: str | None, secrets: Mapping[str, Secret]) -> ProxyRules:
        """Return the proxy rules for an account's option `proxy`; None means those of the environment.

        `secrets` has the proxy addresses by reference. Raises ConfigError for an invalid address.
        """
        if proxy is None:
            return self._environment_rules
        if proxy in DIRECT_KEYWORDS:
            return ProxyRules()
        address = secrets[proxy].reveal() if is_reference(proxy) else proxy
        source = f"proxy = {proxy}" if is_reference(proxy) else "option proxy"
        try:
            return ProxyRules(account_proxy=parse_proxy(address, source))
        except ValueError as error:
            raise ConfigError(f"proxy: {proxy} {error}") from None

    def find_proxy(self, account: Account, secrets: Mapping[str, Secret]) -> Proxy | None:
        """Return the proxy of an account, or None for a direct connection. Raises ConfigError."""
        return self.find_proxy_for_url(
            find_base_url(account) or "https://unknown.invalid",
            account.proxy,
            secrets,
        )

    def find_proxy_for_url(
        self, url: str, proxy: str | None = None, secrets: Mapping[str, Secret] | None = None
    ) -> Proxy | None:
        """Return the proxy for a URL, or None for a direct connection. Raises ConfigError."""
        return self.get_proxy_rules(proxy, secrets or {}).find(url)


def _redact_proxy_credentials(text: str, redact: Redactor) -> None:
    try:
        for form in parse_proxy(text, "").secrets():
            redact.add(form, parts=False)  # chosen by people: parts of it may be ordinary words
    except ValueError:
        return  # reported when the proxy is used, without its text
