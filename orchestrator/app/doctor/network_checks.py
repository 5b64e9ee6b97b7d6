"""Outward: which way each account takes out of this network, and which authorities are trusted on it."""

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
    """The ways of one accounts file. `usable` and `secrets` are known once it is examined."""

    def __init__(self, file: AccountsFile, network: OutboundNetwork) -> None:
        self.network = network
        self.is_usable = True
        self.proxy_secrets: Mapping[str, Secret] = {}
        self._file = file

    def check(self, redact: Redactor) -> Iterator[Diagnosis]:
        """One line for each way, with the accounts that take it."""
        try:
            wanted = list(list_proxy_references(self._file.accounts))
            self.proxy_secrets = resolve_secrets(wanted, base_folder=self._file.folder, redact=redact)
            ways = self._accounts_by_route()
            _ = self.network.ssl_context
        except ConfigError as error:
            self.is_usable = False
            yield from diagnoses_from_error(NETWORK_SUBJECT, error)
            return
        for way, accounts in ways.items():
            who = "all accounts" if len(ways) == 1 else format_names(accounts)
            yield ok_diagnosis(NETWORK_SUBJECT, f"{who}: {way}; trusted authorities: {self.network.authorities}")
        if plain := [account.name for account in self._file.accounts if _is_unencrypted(account)]:
            yield warning_diagnosis(
                NETWORK_SUBJECT,
                f"allow_http: the keys of {format_names(plain)} go unencrypted through your network",
                "Use https:// if the server can.",
            )

    def _accounts_by_route(self) -> Mapping[str, list[str]]:
        ways: dict[str, list[str]] = defaultdict(list)
        for account in self._file.accounts:
            proxy = self.network.find_proxy(account, self.proxy_secrets)
            ways[f"through the proxy {proxy}" if proxy else "without a proxy"].append(account.name)
        return ways


def _is_unencrypted(account: Account) -> bool:
    url = urlsplit(account.base_url or "")
    return url.scheme == "http" and not is_loopback(url.hostname or "")
