from __future__ import annotations

from typing import Any

from orchestrator.core.account import Account, Identity, ProviderName
from orchestrator.core.twins import same_keys, same_places


def account(name: str, provider: ProviderName = ProviderName.OPENAI, **values: Any) -> Account:
    return Account(name=name, provider=provider, api_key=f"env:{name}", **values)


def test_one_key_under_two_names_is_told_whatever_the_references_are() -> None:
    accounts = [account("a"), account("b", organization="org-1"), account("c"), account("d", project="p")]
    found = list(same_keys(accounts, {"a": "1111aaaa", "b": "1111aaaa", "c": "2222bbbb", "d": "1111aaaa"}))
    assert found == ["a, b have the same key (1111aaaa): each is trained and paid for, in one account"]


def test_one_key_at_two_servers_is_none() -> None:
    own = ProviderName.OPENAI_COMPATIBLE
    accounts = [account("a", own, base_url="https://a/v1"), account("b", own, base_url="https://b/v1")]
    assert list(same_keys(accounts, {"a": "1111aaaa", "b": "1111aaaa"})) == []


def test_two_keys_of_one_organisation_and_project_are_told() -> None:
    accounts = [account(name, ProviderName.TOGETHER) for name in "abc"]
    keys = {"a": "1111aaaa", "b": "2222bbbb", "c": "3333cccc"}
    one, other = Identity(organization="o", project="p"), Identity(organization="o", project="q")
    assert list(same_places(accounts, {"a": one, "b": one, "c": other}, keys)) == [
        "a, b are one place at the provider (organisation o, project p): each is trained and paid for there"
    ]
    assert list(same_places(accounts, {"a": one, "b": one}, dict.fromkeys(keys, "1111aaaa"))) == [], "told by the key"


def test_where_the_provider_names_no_project_the_file_must() -> None:
    identities = dict.fromkeys("abc", Identity(organization="org-1"))
    keys = {"a": "1111aaaa", "b": "2222bbbb", "c": "3333cccc"}
    assert list(same_places([account("a"), account("b")], identities, keys)) == []
    accounts = [account("a", project="p"), account("b", project="p"), account("c", project="q")]
    assert [line.split(" are")[0] for line in same_places(accounts, identities, keys)] == ["a, b"]
