"""Receives provider webhooks: verifies the signature before anything else is done.

Requests for unknown accounts and for accounts without a secret are verified against a random secret and refused, in
the same time as a wrong signature. So the response time does not reveal which accounts exist.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from structlog.stdlib import BoundLogger

from orchestrator.core.account import Account
from orchestrator.core.secret import Secret
from orchestrator.daemon.webhook_handler import WebhookHandler
from orchestrator.store.db.database import Database
from orchestrator.web.rate_limited_reporter import RateLimitedReporter

if TYPE_CHECKING:
    from orchestrator.providers.openai.webhooks import WebhookParser

UNKNOWN_ACCOUNT: Final = ""  # no account has an empty name
MAX_REPORTED_ACCOUNTS: Final = 10  # in one log line


class WebhookReceiver:
    """Verifies webhooks and passes genuine ones to the handler."""

    def __init__(self, parse_webhook: WebhookParser, log: BoundLogger) -> None:
        self._parse_webhook = parse_webhook
        self._log = log
        self._secrets: dict[str, Secret] = {}
        self._refusal_report = RateLimitedReporter(self._report_refusals)
        self._decoy_secret = Secret("whsec_" + b64encode(secrets.token_bytes(32)).decode())

    def configure(self, accounts: Iterable[Account], secret_by_reference: Mapping[str, Secret]) -> None:
        """Replace the accounts whose webhooks are accepted. `secret_by_reference` has the resolved secrets."""
        self._secrets = {
            account.name: secret_by_reference[account.webhook_secret]
            for account in accounts
            if account.webhook_secret
        }

    async def receive(
        self, database: Database, handler: WebhookHandler, account: str, headers: Mapping[str, str], body: bytes
    ) -> bool:
        """Verify and handle one webhook. Returns whether it is genuine.

        A refusal is only counted and reported later in one line, because anyone can cause any number of them.
        """
        secret = self._secrets.get(account, self._decoy_secret)
        webhook = self._parse_webhook(secret, headers, body)
        if webhook is None:
            self._refusal_report.add(account if account in self._secrets else UNKNOWN_ACCOUNT)
            return False
        await handler.handle(database, account, webhook)
        return True

    def _report_refusals(self, counts: Mapping[str, int]) -> None:
        """Log one line for all refusals, with the accounts most often named first."""
        by_account = sorted(
            ((count, name) for name, count in counts.items() if name != UNKNOWN_ACCOUNT), reverse=True
        )
        self._log.warning(
            "webhook.refused",
            count=sum(counts.values()),
            accounts={name: count for count, name in by_account[:MAX_REPORTED_ACCOUNTS]},
            unknown_accounts=counts.get(UNKNOWN_ACCOUNT, 0),
            hint="Check the account's webhook secret against the provider's console, and the clock of this machine. "
            "Webhooks for accounts without a secret are always refused.",
        )
