"""The accounts file that `rerun` generates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orchestrator.cli.handlers.rerun import _account_lines
from orchestrator.core.account import Account, HyperparameterFormat, ProviderName
from orchestrator.inputs.accounts_file.loader import parse_accounts_file


def test_entry_of_an_account_has_every_option_that_describes_its_server() -> None:
    account = Account(
        name="lab",
        provider=ProviderName.OPENAI_COMPATIBLE,
        api_key="env:KEY",
        base_url="https://lab.example/v1",
        send_auto=False,
        suffix_length=18,
        suffix_required=True,
        file_per_job=True,
        hyperparameter_format=HyperparameterFormat.FLAT,
    )
    head = '[run]\nname = "n"\nmoderation_waived = "w"\n[run.openai-compatible]\nbase_model = "m"\n'
    text = head + "\n".join(_account_lines(account, Path("/")))
    assert parse_accounts_file(Path("/accounts.toml"), text).accounts == (account,)


def test_entry_of_an_azure_account_has_the_options_of_its_deployments(tmp_path: Path) -> None:
    account = Account(
        name="acme",
        provider=ProviderName.AZURE,
        api_key="env:KEY",
        base_url="https://res.example/openai/v1",
        management_key="file:tokens/acme",
        subscription_id="00000000-0000-4000-8000-000000000001",
        resource_group="rg",
        resource="res",
        management_url="https://management.example",
        management_api_version="2025-07-01-preview",
    )
    head = '[run]\nname = "n"\nmoderation_waived = "w"\n[run.azure]\nbase_model = "m"\n'
    text = head + "\n".join(_account_lines(account, tmp_path))
    elsewhere = replace(account, management_key=f"file:{tmp_path}/tokens/acme")
    assert parse_accounts_file(Path("/accounts.toml"), text).accounts == (elsewhere,)
