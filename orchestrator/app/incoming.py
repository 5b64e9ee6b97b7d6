"""Incoming: webhooks of accounts that have a secret for them. The secret decides first, and whoever has none."""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from structlog.stdlib import BoundLogger

from orchestrator.core.account import Account
from orchestrator.core.secret import Secret
from orchestrator.daemon.webhooks import Ear
from orchestrator.store.database import Database

if TYPE_CHECKING:
    from orchestrator.providers.openai_webhooks import Read as ReadWebhook


class Incoming:
    """Checks, and hands on what is genuine."""

    def __init__(self, read: ReadWebhook, log: BoundLogger) -> None:
        self._read = read
        self._log = log
        self._secrets: dict[str, Secret] = {}
        self._nobodys = Secret("whsec_" + b64encode(secrets.token_bytes(32)).decode())

    def expect(self, accounts: Iterable[Account], found: Mapping[str, Secret]) -> None:
        """From now on these accounts' webhooks are taken. `found` is the secret behind each reference."""
        self._secrets = {
            account.name: found[account.webhook_secret] for account in accounts if account.webhook_secret
        }

    async def receive(
        self, database: Database, ear: Ear, account: str, headers: Mapping[str, str], body: bytes
    ) -> bool:
        """Whether it is genuine. As much is done for an account that is not known, so that nobody can tell."""
        secret = self._secrets.get(account, self._nobodys)
        webhook = self._read(secret, headers, body)
        if webhook is None:
            if account in self._secrets:
                self._log.warning("webhook.refused", account=account, hint="Compare the secrets, and the clocks.")
            return False
        await ear.hear(database, account, webhook)
        return True
