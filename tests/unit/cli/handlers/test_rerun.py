"""The accounts file that `rerun` generates."""

from __future__ import annotations

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
