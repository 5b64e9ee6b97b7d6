"""Connections: who is spoken to. One a listed account, all through one HTTP client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import structlog

from orchestrator.app.network import Network
from orchestrator.core.account import Account, Identity, ProviderName
from orchestrator.core.errors import AccountError, ConfigError, Failure, ProviderError
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.watch import NOBODY
from orchestrator.core.webhook import Webhook
from orchestrator.providers.base import Connect, Connection, Provider
from orchestrator.providers.key_renewal import RenewingProvider
from orchestrator.providers.measured import measured
from orchestrator.providers.redaction import redacted
from orchestrator.sources.secrets import key_variables, resolve
from orchestrator.system.child_processes import ChildProcesses

if TYPE_CHECKING:
    from orchestrator.providers.openai_webhooks import Read as ReadWebhook

NO_SECRETS: Mapping[str, Secret] = MappingProxyType({})
Hear = Callable[[Any], Awaitable[None]]
FindIdentity = Callable[[str], Awaitable[Identity | None]]


async def unknown_identity(account: str) -> Identity | None:
    """Return None: nothing is known of any account."""
    return None


class Connections:
    """The listed accounts' connections by name: always the same mapping, whoever holds it."""

    def __init__(
        self,
        folder: Path,
        network: Network,
        *,
        max_in_flight: int,
        redact: Redactor,
        clock: Callable[[], float],
        hear: Hear | None = None,
        children: ChildProcesses | None = None,
        find_identity: FindIdentity = unknown_identity,
    ) -> None:
        """`hear` is told of every answer. `children` ends the commands that keys are read with.

        `find_identity` is whom an account was verified to be: a key that replaces another must be of the same.
        """
        self.by_name: dict[str, Connection] = {}
        self.watch = NOBODY  # told of the calls of all connections that are made from then on
        self._folder = folder
        self._network = network
        self._secrets: Mapping[str, Secret] = {}
        self._max_in_flight = max_in_flight
        self._redact = redact
        self._clock = clock
        self._hear = hear
        self._children = children
        self._listed: dict[str, Account] = {}
        self._find_identity = find_identity
        self._log = structlog.get_logger("orchestrator")
        self._by_proxy: dict[tuple[str | None, str | None], Mapping[ProviderName, Connect]] = {}
        self._servers: dict[str, str] = {}
        self._several_servers = False
        self._closing = AsyncExitStack()

    def listed(self) -> dict[str, Account]:
        """The accounts in force, by name, also those without a key."""
        return dict(self._listed)

    def server_of(self, account: str) -> str | None:
        """The server an account leads to; None where all accounts lead to the same one."""
        return self._servers.get(account, "") if self._several_servers else None

    async def close(self) -> None:
        """Let go of every connection."""
        await self._closing.aclose()

    async def verify(self, accounts: Sequence[Account]) -> dict[str, Identity | Failure]:
        """Ask the provider of each account that has a key whose key it is."""
        slots = asyncio.Semaphore(self._max_in_flight)

        async def ask(account: Account) -> Identity | Failure:
            async with slots:
                try:
                    return (await self.identify(self.by_name[account.name]))[1]
                except ProviderError as error:
                    return Failure.of(error)

        having = [account for account in accounts if account.name in self.by_name]
        answers = await asyncio.gather(*(ask(account) for account in having))
        return {account.name: answer for account, answer in zip(having, answers, strict=True)}

    async def identify(self, connection: Connection) -> tuple[Connection, Identity]:
        """Ask whose key it is. After any refusal the key is read again: it may have been replaced since."""
        name = connection.account.name
        try:
            identity = await connection.identity()
        except AccountError:
            provider = connection.provider
            if not isinstance(provider, RenewingProvider) or await provider.renew(provider.current) is None:
                raise
            identity = await connection.identity()
        return self.by_name.get(name, connection), identity

    async def _read_again(self, used: Connection) -> Connection | None:
        """Read the account's key again, and verify it if it is another one. Raises what the verification raises."""
        account = used.account
        key = await asyncio.to_thread(self._key_now, account)
        if key is None or key.fingerprint == used.key_fingerprint:
            return None
        renewed = self._direct(account, key)
        identity = await renewed.identity()
        if verified := await self._find_identity(account.name):
            identity.check(replace(account, organization=verified.organization, project=verified.project))
        present = self.by_name.get(account.name)
        if present and isinstance(present.provider, RenewingProvider) and present.provider.current is used:
            self.by_name[account.name] = replace(present, key_fingerprint=key.fingerprint)
        self._log.info("key.renewed", account=account.name, key=key.fingerprint, before=used.key_fingerprint)
        return renewed

    def has_key(self, account: Account) -> bool:
        """Whether the account's reference leads to a key now. May take as long as a command: call it in a thread."""
        return self._key_now(account) is not None

    def _key_now(self, account: Account) -> Secret | None:
        try:
            hidden = key_variables(known.api_key for known in self.listed().values())
            return resolve(
                account.api_key, base=self._folder, redact=self._redact, hidden=hidden, children=self._children
            )
        except ConfigError:
            return None

    def load(self) -> None:
        """Import what connections need: more than a third of a second, in which others may wait for something."""
        from orchestrator.providers import fireworks, openai, sockets, together  # noqa: F401

    def connect_all(
        self, accounts: Sequence[Account], keys: Mapping[str, Secret], secrets: Mapping[str, Secret] = NO_SECRETS
    ) -> None:
        """From now on these accounts are spoken to, as far as they have keys. `secrets` are the proxies' addresses by
        their references.

        Raises ConfigError for a proxy that cannot be one and for authorities that cannot be read.
        """
        self._secrets = secrets
        having = [account for account in accounts if account.name in keys]
        connections = {account.name: self._connected(account, keys[account.name]) for account in having}
        self.by_name.clear()
        self.by_name.update(connections)
        self._listed = {account.name: account for account in accounts}
        self._servers = {account.name: account.base_url or account.provider for account in accounts}
        self._several_servers = len(set(self._servers.values())) > 1

    def _dialects(self, proxy: str | None) -> Mapping[ProviderName, Connect]:
        """How the accounts of each provider are connected, all that take the same way through one HTTP client."""
        address = self._secrets.get(proxy or "")
        way = proxy, address.fingerprint if address else None  # what a reference leads to may have been replaced
        if way not in self._by_proxy:
            self._by_proxy[way] = self._make_dialects(self._http if proxy is None else self._client(proxy))
        return self._by_proxy[way]

    def _make_dialects(self, http: Any) -> Mapping[ProviderName, Connect]:
        # More than half a second that a mere look does not need.
        from orchestrator.providers import fireworks, openai, together
        from orchestrator.providers.openai_dialects import DIALECTS

        return {
            **dict.fromkeys(DIALECTS, openai.connector(http, self._redact)),
            ProviderName.TOGETHER: together.connector(http, self._redact),
            ProviderName.FIREWORKS: fireworks.connector(http, self._redact),
        }

    @cached_property
    def _http(self) -> Any:
        return self._client(None)

    def _client(self, proxy: str | None) -> Any:  # only providers know what it is
        from orchestrator.providers import transport

        rules = self._network.rules(proxy, self._secrets)
        http = transport.shared_client(self._max_in_flight, transport.Network(rules, self._network.context))
        self._closing.push_async_callback(http.aclose)
        if self._hear:
            http.event_hooks = {"response": [self._hear]}
        return http

    def read_webhook(self, secret: Secret, headers: Mapping[str, str], body: bytes) -> Webhook | None:
        """What a request says that claims to be a webhook of OpenAI; None when it is forged or stale."""
        return self._read_webhook(secret, headers, body)

    @cached_property
    def _read_webhook(self) -> ReadWebhook:
        from orchestrator.providers.openai_webhooks import reader

        return reader(self._http)

    def _connected(self, account: Account, key: Secret) -> Connection:
        """Connect an account so that its key is read again when the provider refuses it."""
        provider = RenewingProvider(self._direct(account, key), self._read_again, asyncio.Lock())
        return Connection(account, key.fingerprint, cast(Provider, provider))

    def _direct(self, account: Account, key: Secret) -> Connection:
        """Connect an account with this key and no other."""
        # Said now, not at the first call: a proxy that cannot be one is a fault of the configuration.
        self._network.find(account, self._secrets)
        provider = redacted(self._dialects(account.proxy)[account.provider](account, key), self._redact)
        return Connection(account, key.fingerprint, measured(provider, account.provider, self.watch, self._clock))
