"""Connections to the providers: one per listed account, and one HTTP client per network route."""

# Theory of operation
#
# `by_name` maps account names to connections. The mapping object stays the same for the life of the process, because
# the reconciler and the workers hold it; `connect_accounts` replaces its content when the accounts file changes.
#
# A connection is a stack of wrappers around a provider client, from the outside in:
#
#   RenewingProvider   reads the key again after a refusal (below), and retries the call with a new key
#   instrumentation    measures each call for the metrics
#   redaction          removes keys from error messages
#   the provider       one per dialect, created by a ProviderFactory
#
# HTTP clients are shared: all accounts with the same proxy use one, so that a thousand accounts need one connection
# pool. The key of the cache contains the fingerprint of the resolved proxy address, because the content behind a
# reference can change while its name stays the same.
#
# Key renewal. A provider refuses a key that the operator has replaced. `_renew_key` then resolves the reference
# again. If that gives another key, it is verified before it is used: it must belong to the same organisation and
# project as the verified account, otherwise jobs would be created, and paid for, in a different account. `by_name` is
# updated only if the refused connection is still the current one, because a reload may have replaced it meanwhile.

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import structlog

from orchestrator.app.outbound_network import OutboundNetwork
from orchestrator.core.account import Account, AccountIdentity
from orchestrator.core.errors import AccountError, ConfigError, Failure, ProviderError, TemporaryError
from orchestrator.core.jobs.observer import NULL_OBSERVER
from orchestrator.core.jobs.provider_webhook import ProviderWebhook
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import replace
from orchestrator.inputs.secrets.references import accepts_document, list_key_variables, resolve_reference
from orchestrator.providers.base import Provider, ProviderConnection
from orchestrator.providers.instrumentation import instrument_provider
from orchestrator.providers.key_renewal import RenewingProvider
from orchestrator.providers.redaction import redact_provider
from orchestrator.providers.registry import ProviderRegistry, import_http_stack
from orchestrator.system.child_processes import ChildProcesses

if TYPE_CHECKING:
    from orchestrator.providers.http.client import HttpClient, ResponseHook
    from orchestrator.providers.openai.webhooks import WebhookParser

EXPIRED_KEY_REDACTION_SECONDS = 86_400.0  # an expired token may still be quoted by a late response
COMMAND_FAILED_HINT = (
    "The service tries again. If the problem persists, run the command of the account's `api_key` in a shell."
)
MANAGEMENT_KEY_HINT = (
    "The service tries again. Put the token where the account's `management_key` leads, or correct the reference."
)
NO_SECRETS: Mapping[str, Secret] = MappingProxyType({})
FindIdentity = Callable[[str], Awaitable[AccountIdentity | None]]


async def find_no_identity(account: str) -> AccountIdentity | None:
    """Return None: without a database no account has a verified identity."""
    return None


class Connections:
    """Connects the listed accounts to their providers, verifies them and renews their keys."""

    def __init__(
        self,
        folder: Path,
        network: OutboundNetwork,
        *,
        max_in_flight: int,
        redact: Redactor,
        clock: Callable[[], float],
        on_response: ResponseHook | None = None,
        child_processes: ChildProcesses | None = None,
        find_identity: FindIdentity = find_no_identity,
    ) -> None:
        """`folder` is the base of relative key paths, and `max_in_flight` limits concurrent requests.

        `clock` measures durations. `on_response` is called with every HTTP response. `child_processes` owns the
        commands that print keys. `find_identity` returns the last verified identity of an account, to which a new key
        must belong.
        """
        self.by_name: dict[str, ProviderConnection] = {}
        self.observer = NULL_OBSERVER  # receives the calls of connections that are created after it was set
        self._folder = folder
        self._network = network
        self._secrets: Mapping[str, Secret] = {}
        self._max_in_flight = max_in_flight
        self._redact = redact
        self._clock = clock
        self._on_response = on_response
        self._child_processes = child_processes
        self._accounts: dict[str, Account] = {}
        self._find_identity = find_identity
        self._log = structlog.get_logger("orchestrator")
        self._registry_by_route: dict[tuple[str | None, str | None], ProviderRegistry] = {}
        self._server_by_account: dict[str, str] = {}
        self._has_several_servers = False
        self._loaded_secrets: dict[str, str] = {}  # fingerprints by reference, of secrets other than the keys
        self._expired_keys: deque[tuple[float, str]] = deque()  # when each was replaced, and its fingerprint
        self._exit_stack = AsyncExitStack()

    def get_listed_accounts(self) -> dict[str, Account]:
        """Return the accounts in force by name, including those without a key."""
        return dict(self._accounts)

    def find_server(self, account: str) -> str | None:
        """Return the server of an account, or None if all accounts use the same server."""
        return self._server_by_account.get(account, "") if self._has_several_servers else None

    async def close(self) -> None:
        """Close all HTTP clients."""
        await self._exit_stack.aclose()

    async def verify_accounts(self, accounts: Sequence[Account]) -> dict[str, AccountIdentity | Failure]:
        """Verify each account that has a key with its provider. Returns the identity or the failure by name."""
        slots = asyncio.Semaphore(self._max_in_flight)

        async def verify(account: Account) -> AccountIdentity | Failure:
            async with slots:
                try:
                    return (await self.identify(self.by_name[account.name]))[1]
                except ProviderError as error:
                    return Failure.from_error(error)

        connected = [account for account in accounts if account.name in self.by_name]
        results = await asyncio.gather(*map(verify, connected))
        return {account.name: result for account, result in zip(connected, results, strict=True)}

    async def identify(self, connection: ProviderConnection) -> tuple[ProviderConnection, AccountIdentity]:
        """Return the owner of the connection's key, and the current connection of the account.

        After a refusal the key is read again, because it may have been replaced. Raises ProviderError.
        """
        try:
            identity = await self._verify(connection)
        except AccountError:
            provider = connection.provider
            if not isinstance(provider, RenewingProvider) or await provider.renew(provider.current) is None:
                raise
            identity = await self._verify(connection)
        return self.by_name.get(connection.account.name, connection), identity

    async def _verify(self, connection: ProviderConnection) -> AccountIdentity:
        """Return the owner of the key. Raises WrongOrganization if it is another one than the file names, or before.

        A running job would seem to be lost otherwise, and the next one would be trained in the wrong organisation.
        """
        identity = await connection.verify_identity()
        account = connection.account
        if known := await self._find_identity(account.name):
            identity.check(replace(account, organization=known.organization, project=known.project))
        return identity

    async def _renew_key(self, used: ProviderConnection) -> ProviderConnection | None:
        """Read the account's key again and verify it. Returns None if it has not changed. Raises ProviderError."""
        account = used.account
        try:
            key = await asyncio.to_thread(self._resolve_key, account)
        except ConfigError as error:
            if not account.api_key.startswith("cmd:"):
                return None
            # A token that expires is refused regularly. If its command fails just then, for example because a vault
            # cannot be reached, the account must not be held until an operator acts.
            message = f"the provider refused the key, and a new one cannot be read: {error.message}"
            raise TemporaryError(message, account=account.name, hint=COMMAND_FAILED_HINT) from None
        if key.fingerprint == used.key_fingerprint:
            return None
        renewed = self._connect_with_key(account, key)
        await self._verify(renewed)
        current = self.by_name.get(account.name)
        if current and isinstance(current.provider, RenewingProvider) and current.provider.current is used:
            self.by_name[account.name] = replace(current, key_fingerprint=key.fingerprint)
        self._log.info("key.renewed", account=account.name, key=key.fingerprint, before=used.key_fingerprint)
        if account.api_key.startswith("cmd:"):
            self._expired_keys.append((self._clock(), used.key_fingerprint))
            self._remove_expired_keys()
        return renewed

    def _remove_expired_keys(self) -> None:
        """Let the redactor forget tokens that were replaced long ago: a token of an hour makes thousands a year."""
        limit = self._clock() - EXPIRED_KEY_REDACTION_SECONDS
        while self._expired_keys and self._expired_keys[0][0] <= limit:
            _, fingerprint = self._expired_keys.popleft()
            current = {connection.key_fingerprint for connection in self.by_name.values()}
            if fingerprint not in current | set(self._loaded_secrets.values()):
                self._redact.remove(fingerprint)

    def has_key(self, account: Account) -> bool:
        """Return whether the account's key can be resolved now.

        Blocks as long as a key command runs; use a thread.
        """
        try:
            self._resolve_key(account)
        except ConfigError:
            return False
        return True

    def _resolve_key(self, account: Account) -> Secret:
        """Return the account's key. Raises ConfigError."""
        return self._resolve_reference(account.api_key, accepts_document=accepts_document(account))

    async def load_secret(self, reference: str) -> Secret:
        """Return the secret of another reference of an account. Raises TemporaryError: the account still trains."""
        try:
            secret = await asyncio.to_thread(self._resolve_reference, reference)
        except ConfigError as error:
            message = f"a secret that the call needs cannot be read: {error.message}"
            raise TemporaryError(message, hint=MANAGEMENT_KEY_HINT) from None
        previous = self._loaded_secrets.get(reference)
        self._loaded_secrets[reference] = secret.fingerprint
        if previous not in {None, secret.fingerprint} and reference.startswith("cmd:"):
            self._expired_keys.append((self._clock(), previous))
            self._remove_expired_keys()
        return secret

    def _resolve_reference(self, reference: str, *, accepts_document: bool = False) -> Secret:
        """Return the secret that a reference leads to. Raises ConfigError."""
        accounts = self.get_listed_accounts().values()
        references = [each for account in accounts for each in (account.api_key, account.management_key) if each]
        return resolve_reference(
            reference,
            base_folder=self._folder,
            redact=self._redact,
            hidden_variables=list_key_variables(references),
            children=self._child_processes,
            accepts_document=accepts_document,
        )

    def import_providers(self) -> None:
        """Import the HTTP client, which takes 0.3 s: call it in a thread while the inputs are read."""
        import_http_stack()

    def connect_accounts(
        self, accounts: Sequence[Account], keys: Mapping[str, Secret], secrets: Mapping[str, Secret] = NO_SECRETS
    ) -> None:
        """Replace all connections by those of the given accounts that have a key.

        `secrets` has the proxy addresses by reference. Raises ConfigError for an invalid proxy address and for
        unreadable certificate authorities; the previous connections then stay.
        """
        self._secrets = secrets
        connections = {
            account.name: self._connect(account, keys[account.name]) for account in accounts if account.name in keys
        }
        self.by_name.clear()
        self.by_name.update(connections)
        self._accounts = {account.name: account for account in accounts}
        self._server_by_account = {account.name: account.base_url or account.provider for account in accounts}
        self._has_several_servers = len(set(self._server_by_account.values())) > 1

    def _get_registry(self, proxy: str | None) -> ProviderRegistry:
        """Return the provider factories for a route: all accounts with the same proxy share one HTTP client."""
        address = self._secrets.get(proxy or "")
        # With the fingerprint: the address behind a reference may have been replaced since the client was made.
        route = proxy, address.fingerprint if address else None
        if route not in self._registry_by_route:
            http = self._http if proxy is None else self._create_client(proxy)
            self._registry_by_route[route] = ProviderRegistry(http, self._redact, self.load_secret)
        return self._registry_by_route[route]

    @cached_property
    def _http(self) -> HttpClient:
        return self._create_client(None)

    def _create_client(self, proxy: str | None) -> HttpClient:
        from orchestrator.providers.http.client import create_http_client
        from orchestrator.providers.http.network import NetworkConfig

        network = NetworkConfig(self._network.get_proxy_rules(proxy, self._secrets), self._network.ssl_context)
        http = create_http_client(self._max_in_flight, network, self._on_response)
        self._exit_stack.push_async_callback(http.aclose)
        return http

    def parse_webhook(self, secret: Secret, headers: Mapping[str, str], body: bytes) -> ProviderWebhook | None:
        """Parse a webhook of OpenAI. Returns None if its signature is wrong or too old."""
        return self._webhook_parser(secret, headers, body)

    @cached_property
    def _webhook_parser(self) -> WebhookParser:
        from orchestrator.providers.openai.webhooks import build_webhook_parser

        return build_webhook_parser(self._http)

    def _connect(self, account: Account, key: Secret) -> ProviderConnection:
        """Connect an account; its key is read again when the provider refuses it."""
        provider = RenewingProvider(self._connect_with_key(account, key), self._renew_key, asyncio.Lock())
        return ProviderConnection(account, key.fingerprint, cast(Provider, provider))

    def _connect_with_key(self, account: Account, key: Secret) -> ProviderConnection:
        """Connect an account with exactly this key."""
        # Checked here and not at the first call: an invalid proxy address is an error of the configuration.
        self._network.find_proxy(account, self._secrets)
        connect = self._get_registry(account.proxy).get_factory(account.provider)
        provider = redact_provider(connect(account, key), self._redact)
        return ProviderConnection(
            account, key.fingerprint, instrument_provider(provider, account.provider, self.observer, self._clock)
        )
