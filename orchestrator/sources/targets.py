"""Targets: who is told what, and the ways to the secrets that webhooks and alerts need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator.core.account import Account
from orchestrator.core.delivery import Target, Way
from orchestrator.sources.document import Document
from orchestrator.sources.faults import Faults, Table
from orchestrator.sources.schema import AlertTable, WebhookTable, validate
from orchestrator.sources.secrets import Wanted, is_reference, take_address, take_proxy, take_signing_secret


def read_targets(tables: Document, faults: Faults) -> tuple[Target, ...]:
    """The entries of `[[webhooks]]` and `[[alerts]]`, after adding every fault in them."""
    _check_addresses(tables, faults)
    targets = []
    for index, entry in enumerate(tables.webhooks):
        if hook := validate(WebhookTable, entry, ("webhooks", index), faults):
            targets.append(_target(Way.WEBHOOK, hook.model_dump(exclude_unset=True)))
    for index, entry in enumerate(tables.alerts):
        if alert := validate(AlertTable, entry, ("alerts", index), faults):
            targets.append(_target(Way.ALERT, alert.model_dump(exclude_unset=True)))
    return tuple(targets)


def references(accounts: Iterable[Account], targets: Iterable[Target]) -> Iterator[Wanted]:
    """The ways to all secrets of webhooks and alerts, each with what takes it over."""
    for account in accounts:
        if account.webhook_secret:
            place = f"[[accounts]] {account.name}: webhook_secret"
            yield Wanted(place, account.webhook_secret, take_signing_secret)
    for target in targets:
        if target.secret:
            yield Wanted(f"[[{target.way}s]] {target.url}: secret", target.secret, take_signing_secret)
        if is_reference(target.url):
            yield Wanted(f"[[{target.way}s]]: url", target.url, take_address, is_address=True)


def proxy_references(accounts: Iterable[Account]) -> Iterator[Wanted]:
    """The ways to the proxies of the accounts that name one by a reference, each once."""
    first = {account.proxy: account for account in accounts if account.proxy and is_reference(account.proxy)}
    for reference, account in first.items():
        assert reference is not None
        yield Wanted(f"[[accounts]] {account.name}: proxy", reference, take_proxy, is_address=True)


def _target(way: Way, given: dict[str, Any]) -> Target:
    topics = {"topics": given["events"]} if "events" in given else {}
    return Target(way=way, url=given["url"], secret=given.get("secret"), **topics)


def _check_addresses(tables: Document, faults: Faults) -> None:
    """An address is what a delivery is found by, so it stands there once."""
    first: dict[str, Table] = {}
    places: list[tuple[Table, Any]] = [(("webhooks", i), entry.get("url")) for i, entry in enumerate(tables.webhooks)]
    places += [(("alerts", i), entry.get("url")) for i, entry in enumerate(tables.alerts)]
    for table, url in places:
        if isinstance(url, str) and first.setdefault(url, table) != table:
            line = faults.line(first[url], "url")
            faults.add(table, "url", f"is already used in line {line}; list all its events there")
