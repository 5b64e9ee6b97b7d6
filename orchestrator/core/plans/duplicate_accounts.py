"""Twins: accounts of the file that are one account at the provider. Each would be trained and paid for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final

from orchestrator.core.account import Account, AccountIdentity
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.text import format_list

MAX_LISTED_NAMES: Final = 5


def list_shared_key_warnings(accounts: Sequence[Account], fingerprints: Mapping[str, str]) -> Iterator[str]:
    """A line for each group of accounts whose references lead to one key. `fingerprints` are by account name."""
    known = [account for account in accounts if account.name in fingerprints]
    keys = {account.name: (*_endpoint(account), account.project, fingerprints[account.name]) for account in known}
    for group in _group_duplicates(known, keys):
        yield format_shared_key_warning([account.name for account in group], fingerprints[group[0].name])


def format_shared_key_warning(names: Sequence[str], fingerprint: str) -> str:
    """The line for accounts with one key."""
    listed = format_list(names, limit=MAX_LISTED_NAMES)
    return f"{listed} have the same key ({fingerprint}): each is trained and paid for, in one account"


def list_shared_project_warnings(
    accounts: Sequence[Account], identities: Mapping[str, AccountIdentity], fingerprints: Mapping[str, str]
) -> Iterator[str]:
    """A line for each group of accounts with different keys that the provider says are one organisation and project.

    OpenAI's answer names no project: there the accounts file must name it, or nothing is known.
    """
    places: dict[str, tuple[Hashable, ...]] = {}
    for account in accounts:
        identity = identities.get(account.name)
        organization = identity and identity.organization
        project = (identity and identity.project) or account.project
        if organization and (project or PROVIDERS[account.provider].verify_names_project):
            places[account.name] = (*_endpoint(account), organization, project)
    known = [account for account in accounts if account.name in places]
    for group in _group_duplicates(known, places):
        if (
            len({fingerprints.get(account.name) for account in group}) > 1
        ):  # one key is told of by `list_shared_key_warnings`
            *_, found, part = places[group[0].name]
            where = f"organisation {found}" + (f", project {part}" if part else "")
            names = format_list([account.name for account in group], limit=MAX_LISTED_NAMES)
            yield f"{names} are one place at the provider ({where}): each is trained and paid for there"


def _endpoint(account: Account) -> tuple[str, str | None]:
    return account.provider, account.base_url


def _group_duplicates(accounts: Sequence[Account], places: Mapping[str, Hashable]) -> Iterator[list[Account]]:
    groups: dict[Hashable, list[Account]] = defaultdict(list)
    for account in accounts:
        groups[places[account.name]].append(account)
    yield from (group for group in groups.values() if len(group) > 1)
