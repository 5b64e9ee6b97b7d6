"""Finds entries of the accounts file that are one account at the provider: each would be trained and paid for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final

from orchestrator.core.account import Account, AccountIdentity
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.text import format_list

MAX_LISTED_NAMES: Final = 5


def list_shared_key_warnings(accounts: Sequence[Account], fingerprints: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each group of accounts with the same key. Keys' `fingerprints` are by account name."""
    known = [account for account in accounts if account.name in fingerprints]
    keys = {account.name: (*_endpoint(account), account.project, fingerprints[account.name]) for account in known}
    for group in _group_duplicates(known, keys):
        yield format_shared_key_warning([account.name for account in group], fingerprints[group[0].name])


def format_shared_key_warning(names: Sequence[str], fingerprint: str) -> str:
    """Format the warning about accounts that use the same key."""
    listed = format_list(names, limit=MAX_LISTED_NAMES)
    return f"{listed} have the same key ({fingerprint}): each is trained and paid for, in one account"


def list_shared_project_warnings(
    accounts: Sequence[Account], identities: Mapping[str, AccountIdentity], fingerprints: Mapping[str, str]
) -> Iterator[str]:
    """Yield a warning for each group of accounts with different keys in the same organisation and project.

    OpenAI does not report the project: such accounts are compared only if the accounts file names it.
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
        # Accounts with one key are reported by `list_shared_key_warnings`.
        if len({fingerprints.get(account.name) for account in group}) > 1:
            *_, shared_organization, shared_project = places[group[0].name]
            where = f"organisation {shared_organization}" + (f", project {shared_project}" if shared_project else "")
            names = format_list([account.name for account in group], limit=MAX_LISTED_NAMES)
            yield f"{names} are the same account at the provider ({where}): each is trained and paid for there"


def _endpoint(account: Account) -> tuple[str, str | None]:
    return account.provider, account.base_url


def _group_duplicates(accounts: Sequence[Account], places: Mapping[str, Hashable]) -> Iterator[list[Account]]:
    groups: dict[Hashable, list[Account]] = defaultdict(list)
    for account in accounts:
        groups[places[account.name]].append(account)
    yield from (group for group in groups.values() if len(group) > 1)
