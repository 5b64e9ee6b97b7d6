"""Outward: which way each account takes out of this network, and which authorities are trusted on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from orchestrator.app.doctor.diagnosis import Diagnosis, doubtful, faults, fine
from orchestrator.app.doctor.inputs import names
from orchestrator.app.network import Network
from orchestrator.core.account import Account
from orchestrator.core.errors import ConfigError
from orchestrator.core.loopback import is_loopback
from orchestrator.core.secret import Redactor, Secret
from orchestrator.sources.accounts import AccountsFile
from orchestrator.sources.secrets import follow
from orchestrator.sources.targets import proxy_references

THING = "network"


class Outward:
    """The ways of one accounts file. `usable` and `secrets` are known once it is examined."""

    def __init__(self, file: AccountsFile, network: Network) -> None:
        self.network = network
        self.usable = True
        self.secrets: Mapping[str, Secret] = {}
        self._file = file

    def examine(self, redact: Redactor) -> Iterator[Diagnosis]:
        """One line for each way, with the accounts that take it."""
        try:
            wanted = list(proxy_references(self._file.accounts))
            self.secrets = follow(wanted, base=self._file.folder, redact=redact)
            ways = self._ways()
            _ = self.network.context
        except ConfigError as error:
            self.usable = False
            yield from faults(THING, error)
            return
        for way, accounts in ways.items():
            who = "all accounts" if len(ways) == 1 else names(accounts)
            yield fine(THING, f"{who}: {way}; trusted authorities: {self.network.authorities}")
        if plain := [account.name for account in self._file.accounts if _is_plain(account)]:
            yield doubtful(
                THING,
                f"allow_http: the keys of {names(plain)} go unencrypted through your network",
                "Use https:// if the server can.",
            )

    def _ways(self) -> Mapping[str, list[str]]:
        ways: dict[str, list[str]] = defaultdict(list)
        for account in self._file.accounts:
            proxy = self.network.find(account, self.secrets)
            ways[f"through the proxy {proxy}" if proxy else "without a proxy"].append(account.name)
        return ways


def _is_plain(account: Account) -> bool:
    url = urlsplit(account.base_url or "")
    return url.scheme == "http" and not is_loopback(url.hostname or "")
