"""Options of `[[accounts]]` that only deployments need: all of them, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.account import ProviderName
from orchestrator.core.errors import ConfigError
from orchestrator.core.providers import PROVIDERS
from orchestrator.inputs.accounts_file.loader import AccountsFile, parse_accounts_file

DEPLOYMENT = '[run.azure.deployment]\nkind = "token"\nkeep_hours = 1\n'
ENTRY = '[[accounts]]\nname = "{}"\nprovider = "azure"\napi_key = "env:K"\nbase_url = "https://r.example/openai/v1"\n'
OPTIONS = {
    "management_key": '"cmd:az account get-access-token"',
    "subscription_id": '"00000000-0000-4000-8000-000000000001"',
    "resource_group": '"acme-rg"',
    "resource": '"acme-sweden"',
}
NEEDED = PROVIDERS[ProviderName.AZURE].deployment_account_options


def format_options(*left_out: str, **changes: str) -> str:
    return "".join(f"{name} = {value}\n" for name, value in (OPTIONS | changes).items() if name not in left_out)


def parse(*, deployment: str = DEPLOYMENT, options: str = "") -> AccountsFile:
    text = '[run]\nname = "r"\n[run.azure]\nbase_model = "m"\n' + deployment + ENTRY.format("acme") + options
    return parse_accounts_file(Path("/accounts.toml"), text)


def find_problems(*, deployment: str = DEPLOYMENT, options: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(deployment=deployment, options=options)
    return list(caught.value.problems)


def test_account_that_only_trains_needs_none_of_them() -> None:
    (account,) = parse(deployment="").accounts
    assert all(getattr(account, option) is None for option in OPTIONS)


def test_account_with_all_of_them_can_deploy() -> None:
    file = parse(options=format_options())
    assert file.accounts[0].resource == "acme-sweden"
    assert file.get_run().deployments


def test_deployment_names_each_option_that_is_missing() -> None:
    found = find_problems()
    assert len(found) == len(NEEDED)
    for option, line in NEEDED.items():
        expected = f"{option}: is missing: [run.azure.deployment] deploys its models; add {line}"
        assert any(problem.endswith(expected) and "acme" in problem for problem in found)


@pytest.mark.parametrize("option", OPTIONS)
def test_one_without_the_others_is_reported_without_a_deployment_too(option: str) -> None:
    (found,) = find_problems(deployment="", options=format_options(option))
    assert f"{option}: is missing: " in found
    assert "is given; add" in found


def test_only_accounts_that_a_deploying_run_selects_need_them() -> None:
    run = '[[runs]]\nname = "{}"\naccounts = ["{}"]\n[runs.azure]\nbase_model = "m"\n'
    deployment = DEPLOYMENT.replace("[run.", "[runs.")
    entries = ENTRY.format("one") + format_options() + ENTRY.format("two")
    text = run.format("a", "one") + deployment + run.format("b", "two") + entries
    assert len(parse_accounts_file(Path("/accounts.toml"), text).runs) == 2
    with pytest.raises(ConfigError) as caught:
        parse_accounts_file(Path("/accounts.toml"), text.replace('["one"]', '["*"]'))
    assert all("two" in problem and "[runs.azure.deployment]" in problem for problem in caught.value.problems)
    assert len(caught.value.problems) == len(NEEDED)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("management_key", '"eyJ0canary0123456789abcdef"', "must be a reference to the key and not the key itself"),
        ("subscription_id", '"acme"', "must be the id of a subscription"),
        ("resource_group", '"../x"', "must be the name of a resource group"),
        ("resource_group", '"ends."', "must be the name of a resource group"),
        ("resource", '"https://acme.openai.azure.com"', "must be the name of the resource"),
        ("management_url", '"http://management.azure.com"', "would send the management key unencrypted"),
        ("management_url", '"https://u:canary@management.azure.com"', "must consist of scheme, host and path only"),
        ("management_api_version", '"latest"', "must be a version of the API"),
    ],
)
def test_unusable_value_is_refused_without_being_repeated(option: str, value: str, message: str) -> None:
    found = find_problems(options=format_options(**{option: value}))
    assert any(f"{option}: {message}" in problem for problem in found)
    assert "canary" not in repr(found)


def test_options_are_refused_at_other_providers() -> None:
    text = '[run]\nname = "r"\n[run.together]\nbase_model = "m"\n[[accounts]]\nname = "a"\nprovider = "together"\n'
    with pytest.raises(ConfigError) as caught:
        parse_accounts_file(Path("/accounts.toml"), text + 'api_key = "env:K"\n' + format_options())
    assert len(caught.value.problems) == len(OPTIONS)
    assert all("is not an option for together, only for azure" in problem for problem in caught.value.problems)
