"""Parses `[[webhooks]]` and `[[alerts]]`, and lists the secrets that they, and the proxies, refer to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator.core.account import Account
from orchestrator.core.notifications.delivery import Channel, NotificationTarget
from orchestrator.inputs.accounts_file.document import AccountsDocument
from orchestrator.inputs.accounts_file.problems import ProblemCollector, TablePath
from orchestrator.inputs.accounts_file.schema import AlertTable, WebhookTable, validate_table
from orchestrator.inputs.secrets.references import (
    SecretReference,
    is_reference,
    register_address,
    register_proxy,
    register_signing_secret,
)


def parse_targets(tables: AccountsDocument, problems: ProblemCollector) -> tuple[NotificationTarget, ...]:
    """Parse the entries of `[[webhooks]]` and `[[alerts]]`, and report every problem with them."""
    _check_addresses(tables, problems)
    targets = []
    for index, entry in enumerate(tables.webhooks):
        if hook := validate_table(WebhookTable, entry, ("webhooks", index), problems):
            targets.append(_build_target(Channel.WEBHOOK, hook.model_dump(exclude_unset=True)))
    for index, entry in enumerate(tables.alerts):
        if alert := validate_table(AlertTable, entry, ("alerts", index), problems):
            targets.append(_build_target(Channel.ALERT, alert.model_dump(exclude_unset=True)))
    return tuple(targets)


def list_secret_references(
    accounts: Iterable[Account], targets: Iterable[NotificationTarget]
) -> Iterator[SecretReference]:
    """Yield the references to the secrets of webhooks and alerts, each with the function that registers it."""
    for account in accounts:
        if account.webhook_secret:
            place = f"[[accounts]] {account.name}: webhook_secret"
            yield SecretReference(place, account.webhook_secret, register_signing_secret)
    for target in targets:
        if target.secret:
            yield SecretReference(
                f"[[{target.channel}s]] {target.url}: secret", target.secret, register_signing_secret
            )
        if is_reference(target.url):
            yield SecretReference(f"[[{target.channel}s]]: url", target.url, register_address, is_address=True)


def list_proxy_references(accounts: Iterable[Account]) -> Iterator[SecretReference]:
    """Yield each reference to a proxy address once."""
    first = {account.proxy: account for account in accounts if account.proxy and is_reference(account.proxy)}
    for reference, account in first.items():
        assert reference is not None
        yield SecretReference(f"[[accounts]] {account.name}: proxy", reference, register_proxy, is_address=True)


def _build_target(channel: Channel, options: dict[str, Any]) -> NotificationTarget:
    topics = {"topics": options["events"]} if "events" in options else {}
    return NotificationTarget(channel=channel, url=options["url"], secret=options.get("secret"), **topics)


def _check_addresses(tables: AccountsDocument, problems: ProblemCollector) -> None:
    """Report an address that occurs twice: deliveries are identified by their address."""
    first: dict[str, TablePath] = {}
    places: list[tuple[TablePath, Any]] = [
        (("webhooks", i), entry.get("url")) for i, entry in enumerate(tables.webhooks)
    ]
    places += [(("alerts", i), entry.get("url")) for i, entry in enumerate(tables.alerts)]
    for table, url in places:
        if isinstance(url, str) and first.setdefault(url, table) != table:
            line = problems.find_line(first[url], "url")
            problems.add(table, "url", f"is already used in line {line}; list all its events in that entry")
