from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.account import ProviderName
from orchestrator.core.providers import PROVIDERS
from orchestrator.inputs.accounts_file.editor import add_account, remove_account
from orchestrator.inputs.accounts_file.generator import NewAccountsFile, format_accounts_file
from orchestrator.inputs.accounts_file.loader import parse_accounts_file

TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)
FURTHER_OPTIONS = {"project": "proj", "region": "us-central1", "bucket": "bucket"}
FURTHER_OPTIONS |= {"role_arn": "arn:aws:iam::123456789012:role/Training"}
PATH = Path("/nowhere/accounts.toml")


def new_file(provider: ProviderName, run: str = "r", model: str = "m", dataset: str = "chats") -> NewAccountsFile:
    required = PROVIDERS[provider].required_account_options
    return NewAccountsFile(
        run=run,
        dataset=dataset,
        max_total_usd=10.0,
        provider=provider,
        base_model=model,
        account="first",
        api_key="env:KEY",
        base_url="https://host/v1" if "base_url" in required else None,
        organization="org" if "organization" in required else None,
        more={name: value for name, value in FURTHER_OPTIONS.items() if name in required},
    )


@given(provider=st.sampled_from(ProviderName), run=TEXTS, model=TEXTS, dataset=TEXTS.map("./{}".format))
def test_every_generated_file_loads(provider: ProviderName, run: str, model: str, dataset: str) -> None:
    text = format_accounts_file(new_file(provider, run, model, dataset))
    file = parse_accounts_file(PATH, text)
    definition = file.get_run()
    assert (definition.options.name, definition.specs[provider].base_model) == (run, model)
    assert definition.dataset == PATH.parent / dataset
    assert file.accounts[0].provider is provider
    assert remove_account(add_account(text, {"name": "x", "provider": provider.value}), "x") == text


@pytest.mark.parametrize("provider", ProviderName)
def test_generated_file_loads_with_every_option_active(provider: ProviderName) -> None:
    text = format_accounts_file(new_file(provider))
    active = re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)
    file = parse_accounts_file(PATH, active)
    assert file.get_run().options.moderation_waived == "REASON"
    assert file.accounts[0].budget_usd == 10.0


@pytest.mark.parametrize("provider", ProviderName)
def test_generated_file_fits_a_line_of_100_characters(provider: ProviderName) -> None:
    assert max(map(len, format_accounts_file(new_file(provider)).splitlines())) <= 100
