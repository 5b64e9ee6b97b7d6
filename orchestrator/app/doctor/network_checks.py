"""Checks of the outbound network: the proxy of each account, and the trusted certificate authorities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from orchestrator.app.doctor.diagnosis import Diagnosis, diagnoses_from_error, ok_diagnosis, warning_diagnosis
from orchestrator.app.doctor.input_checks import format_names
from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.core.account import Account
from orchestrator.core.errors import ConfigError
from orchestrator.core.loopback import is_loopback
from orchestrator.core.secret import Redactor, Secret
from orchestrator.inputs.accounts_file.loader import AccountsFile
from orchestrator.inputs.accounts_file.targets import list_proxy_references
from orchestrator.inputs.secrets.references import resolve_secrets

NETWORK_SUBJECT = "network"


class NetworkChecker:
    """Checks the proxies of one accounts file. `is_usable` and `proxy_secrets` are known after `check`."""

    def __init__(self, file: AccountsFile, network: OutboundNetwork) -> None:
        self.network = network
        self.is_usable = True  # False: requests to providers would fail, so that they are not tried
        self.proxy_secrets: Mapping[str, Secret] = {}  # proxy addresses by reference
        self._file = file

    def check(self, redact: Redactor) -> Iterator[Diagnosis]:
        """Yield one diagnosis per route (direct, or through a proxy), with the accounts that use it."""
        try:
            references = list(list_proxy_references(self._file.accounts))
            self.proxy_secrets = resolve_secrets(references, base_folder=self._file.folder, redact=redact)
            accounts_by_route = self._group_accounts_by_route()
            _ = self.network.ssl_context  # reads the certificate files, and raises if they are unusable
        except ConfigError as error:
            self.is_usable = False
            yield from diagnoses_from_error(NETWORK_SUBJECT, error)
            return
        for route, accounts in accounts_by_route.items():
            names = "all accounts" if len(accounts_by_route) == 1 else format_names(accounts)
            yield ok_diagnosis(NETWORK_SUBJECT, f"{names}: {route}; trusted authorities: {self.network.authorities}")
        if unencrypted := [account.name for account in self._file.accounts if _is_unencrypted(account)]:
            yield warning_diagnosis(
                NETWORK_SUBJECT,
                f"allow_http: the keys of {format_names(unencrypted)} are sent unencrypted through your network",
                "Use https:// if the server supports it.",
            )

    def _group_accounts_by_route(self) -> Mapping[str, list[str]]:
        accounts_by_route: dict[str, list[str]] = defaultdict(list)
        for account in self._file.accounts:
            proxy = self.network.find_proxy(account, self.proxy_secrets)
            route = f"through the proxy {proxy}" if proxy else "without a proxy"
            accounts_by_route[route].append(account.name)
        return accounts_by_route


def _is_unencrypted(account: Account) -> bool:
    url = urlsplit(account.base_url or "")
    return url.scheme == "http" and not is_loopback(url.hostname or "")
