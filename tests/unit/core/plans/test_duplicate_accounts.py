from __future__ import annotations

from typing import Any

from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.plans.duplicate_accounts import (
    MAX_LISTED_NAMES,
    list_shared_key_warnings,
    list_shared_project_warnings,
)


def account(name: str, provider: ProviderName = ProviderName.OPENAI, **values: Any) -> Account:
    return Account(name=name, provider=provider, api_key=f"env:{name}", **values)


def test_same_key_in_two_accounts_is_reported() -> None:
    accounts = [account("a"), account("b", organization="org-1"), account("c"), account("d", project="p")]
    actual = list(
        list_shared_key_warnings(accounts, {"a": "1111aaaa", "b": "1111aaaa", "c": "2222bbbb", "d": "1111aaaa"})
    )
    assert actual == ["a, b have the same key (1111aaaa): each is trained and paid for, in one account"]


def test_same_key_at_two_servers_is_not_reported() -> None:
    own = ProviderName.OPENAI_COMPATIBLE
    accounts = [account("a", own, base_url="https://a/v1"), account("b", own, base_url="https://b/v1")]
    assert list(list_shared_key_warnings(accounts, {"a": "1111aaaa", "b": "1111aaaa"})) == []


def test_two_keys_of_one_project_are_reported() -> None:
    accounts = [account(name, ProviderName.TOGETHER) for name in "abc"]
    keys = {"a": "1111aaaa", "b": "2222bbbb", "c": "3333cccc"}
    one, other = AccountIdentity(organization="o", project="p"), AccountIdentity(organization="o", project="q")
    assert list(list_shared_project_warnings(accounts, {"a": one, "b": one, "c": other}, keys)) == [
        "a, b are the same account at the provider (organisation o, project p): each is trained and paid for there"
    ]
    assert (
        list(list_shared_project_warnings(accounts, {"a": one, "b": one}, dict.fromkeys(keys, "1111aaaa"))) == []
    ), "told by the key"


def test_project_of_the_accounts_file_is_used_where_none_is_reported() -> None:
    identities = dict.fromkeys("abc", AccountIdentity(organization="org-1"))
    keys = {"a": "1111aaaa", "b": "2222bbbb", "c": "3333cccc"}
    assert list(list_shared_project_warnings([account("a"), account("b")], identities, keys)) == []
    accounts = [account("a", project="p"), account("b", project="p"), account("c", project="q")]
    assert [line.split(" are")[0] for line in list_shared_project_warnings(accounts, identities, keys)] == ["a, b"]


def test_warning_about_many_accounts_names_some_and_counts_the_rest() -> None:
    accounts = [account(f"a{number:03}", ProviderName.TOGETHER) for number in range(50)]
    keys = {each.name: f"{number:08}" for number, each in enumerate(accounts)}
    identities = dict.fromkeys(keys, AccountIdentity(organization="o", project="p"))
    (separate,) = list_shared_project_warnings(accounts, identities, keys)
    (shared,) = list_shared_key_warnings(accounts, dict.fromkeys(keys, "1111aaaa"))
    for warning in (separate, shared):
        assert warning.startswith("a000, a001, ")
        assert f"and {50 - MAX_LISTED_NAMES} more" in warning


def test_accounts_of_one_organisation_without_a_project_are_named_without_one() -> None:
    keys = {"a": "1111aaaa", "b": "2222bbbb"}
    identities = dict.fromkeys(keys, AccountIdentity(organization="o"))
    accounts = [account(name, ProviderName.TOGETHER) for name in keys]
    assert list(list_shared_project_warnings(accounts, identities, keys)) == [
        "a, b are the same account at the provider (organisation o): each is trained and paid for there"
    ]
