"""The registry of provider facts is total: no provider can be forgotten, and its facts agree with each other."""

from __future__ import annotations

from dataclasses import fields

import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.providers import CONDITIONAL_ACCOUNT_OPTIONS, PROVIDERS, list_providers_with_account_option

ACCOUNT_FIELDS = {field.name for field in fields(Account)}


def test_every_provider_has_a_registry_entry() -> None:
    assert list(PROVIDERS) == list(ProviderName)


@pytest.mark.parametrize("name", ProviderName)
def test_provider_without_base_url_requires_one_of_the_account(name: ProviderName) -> None:
    info = PROVIDERS[name]
    assert (info.default_base_url is None) == ("base_url" in info.required_account_options)


@pytest.mark.parametrize("name", ProviderName)
def test_account_options_of_a_provider_exist(name: ProviderName) -> None:
    info = PROVIDERS[name]
    assert info.account_options <= CONDITIONAL_ACCOUNT_OPTIONS <= ACCOUNT_FIELDS
    assert info.required_account_options.keys() <= ACCOUNT_FIELDS
    assert all(line.startswith(f"{option} = ") for option, line in info.required_account_options.items())


@pytest.mark.parametrize("name", ProviderName)
def test_provider_that_does_not_serve_at_base_url_has_an_inference_url(name: ProviderName) -> None:
    info = PROVIDERS[name]
    assert info.serves_at_base_url or info.inference_url


@pytest.mark.parametrize("option", sorted(CONDITIONAL_ACCOUNT_OPTIONS))
def test_conditional_account_option_is_accepted_by_some_provider(option: str) -> None:
    assert list_providers_with_account_option(option)


def test_only_openai_accepts_webhooks() -> None:
    assert list_providers_with_account_option("webhook_secret") == [ProviderName.OPENAI]
