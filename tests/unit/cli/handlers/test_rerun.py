"""The accounts file that `rerun` generates."""

from __future__ import annotations

import shlex
from dataclasses import MISSING
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.cli.handlers.rerun import OPTIONS_NOT_COPIED, _account_lines, _next_step_lines, print_rerun
from orchestrator.core.account import Account, BudgetPeriod, HyperparameterFormat, ProviderName
from orchestrator.core.errors import ConfigError
from orchestrator.core.structs import fields, replace
from orchestrator.inputs.accounts_file.loader import parse_accounts_file


async def test_accounts_file_in_use_is_not_overwritten(tmp_path: Path) -> None:
    file, link = tmp_path / "accounts.toml", tmp_path / "link.toml"
    file.write_text("[run]\n")
    link.symlink_to(file)
    app = cast(Any, SimpleNamespace(settings=SimpleNamespace(accounts_file=file)))
    for target in (file, link):
        with pytest.raises(ConfigError, match="would replace the accounts file in use"):
            await print_rerun(app, "run-1", ProviderName.TOGETHER, base_model=None, write=target)
    assert file.read_text() == "[run]\n"


def test_next_steps_quote_the_path_of_the_file() -> None:
    plan = cast(Any, SimpleNamespace(notes=(), missing=(), provider="together"))
    _, command = _next_step_lines(plan, Path("my runs/accounts.toml"))
    assert shlex.split(command)[-1] == "my runs/accounts.toml"


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


OPTIONS: dict[str, tuple[ProviderName, Any]] = {
    "name": (ProviderName.TOGETHER, "another"),
    "provider": (ProviderName.TOGETHER, ProviderName.TOGETHER),
    "api_key": (ProviderName.TOGETHER, "cmd:pass show key"),
    "organization": (ProviderName.TOGETHER, "org-1"),
    "project": (ProviderName.TOGETHER, "proj-1"),
    "base_url": (ProviderName.TOGETHER, "https://host.example/v1"),
    "budget_usd": (ProviderName.TOGETHER, 12.5),
    "budget_period": (ProviderName.TOGETHER, BudgetPeriod.MONTH),
    "max_running_jobs": (ProviderName.TOGETHER, 7),
    "labels": (ProviderName.TOGETHER, ("eu", "big")),
    "proxy": (ProviderName.TOGETHER, "file:/etc/proxy"),
    "allow_http": (ProviderName.TOGETHER, True),
    "send_auto": (ProviderName.OPENAI_COMPATIBLE, False),
    "suffix_length": (ProviderName.OPENAI_COMPATIBLE, 0),
    "suffix_required": (ProviderName.OPENAI_COMPATIBLE, True),
    "file_per_job": (ProviderName.OPENAI_COMPATIBLE, True),
    "hyperparameter_format": (ProviderName.OPENAI_COMPATIBLE, HyperparameterFormat.BOTH),
    "region": (ProviderName.BEDROCK, "eu-west-1"),
    "bucket": (ProviderName.BEDROCK, "other-chats"),
    "role_arn": (ProviderName.BEDROCK, "arn:aws:iam::123456789012:role/Other"),
    "storage_url": (ProviderName.BEDROCK, "https://storage.example"),
    "management_key": (ProviderName.AZURE, "file:/etc/token"),
    "subscription_id": (ProviderName.AZURE, "00000000-0000-0000-0000-000000000042"),
    "resource_group": (ProviderName.AZURE, "other-group"),
    "resource": (ProviderName.AZURE, "other-resource"),
    "management_url": (ProviderName.AZURE, "https://management.example"),
    "management_api_version": (ProviderName.AZURE, "2026-01-01"),
}
"""A value of each option that is not its default one, at a provider that accepts the option."""
BASE: dict[ProviderName, dict[str, Any]] = {
    ProviderName.TOGETHER: {},
    ProviderName.OPENAI_COMPATIBLE: {"base_url": "https://lab.example/v1"},
    ProviderName.AZURE: {
        "base_url": "https://lab.openai.azure.com/openai/v1/",
        "management_key": "env:TOKEN",
        "subscription_id": "00000000-0000-0000-0000-000000000001",
        "resource_group": "group",
        "resource": "lab",
    },
    ProviderName.BEDROCK: {
        "region": "us-east-1",
        "bucket": "chats",
        "role_arn": "arn:aws:iam::123456789012:role/Training",
    },
}


def copy(account: Account, folder: Path = Path("/")) -> Account:
    """The account as the generated file has it."""
    head = f'[run]\nname = "n"\nmoderation_waived = "w"\n[run.{account.provider}]\nbase_model = "m"\n'
    text = head + "\n".join(_account_lines(account, folder))
    return parse_accounts_file(Path("/accounts.toml"), text).accounts[0]


def test_every_option_is_copied_or_deliberately_not() -> None:
    names = {field.name for field in fields(Account)}
    assert OPTIONS.keys() | OPTIONS_NOT_COPIED.keys() == names, "decide about the new option, and test it here"
    assert not OPTIONS.keys() & OPTIONS_NOT_COPIED.keys()
    assert all(OPTIONS_NOT_COPIED.values()), "each has a reason"


@pytest.mark.parametrize("option", OPTIONS)
def test_option_is_copied(option: str) -> None:
    provider, value = OPTIONS[option]
    account = Account(name="lab", provider=provider, api_key="env:KEY", **BASE[provider])
    default = next(field.default for field in fields(Account) if field.name == option)
    assert default is MISSING or value != default, "a value that could not be lost shows nothing"
    account = replace(account, **{option: value})
    assert copy(account) == account


def test_option_that_is_not_copied_is_the_default_one() -> None:
    for option in OPTIONS_NOT_COPIED:
        chosen: dict[str, Any] = {option: "env:OTHER"}
        plain = Account(name="lab", provider=ProviderName.OPENAI, api_key="env:KEY")
        assert copy(replace(plain, **chosen)) == plain


def test_relative_paths_are_those_of_the_old_folder() -> None:
    account = Account(name="lab", provider=ProviderName.TOGETHER, api_key="file:a.key", proxy="file:proxy")
    copied = copy(account, Path("/etc/old"))
    assert (copied.api_key, copied.proxy) == ("file:/etc/old/a.key", "file:/etc/old/proxy")
