"""The registry of provider facts is total: no provider can be forgotten, and its facts agree with each other."""

from __future__ import annotations

import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.providers import (
    CONDITIONAL_ACCOUNT_OPTIONS,
    PROVIDERS,
    ConsoleResource,
    find_call_url,
    find_console_url,
    list_providers_with_account_option,
)
from orchestrator.core.structs import fields

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
    found_by_litellm = (
        info.litellm_prefix not in {"openai", ""} and info.litellm_options
    )  # from a region, for example
    assert info.serves_at_base_url or info.inference_url or found_by_litellm


@pytest.mark.parametrize(
    ("provider", "base_url", "expected"),
    [
        ("openai", None, "https://api.openai.com/v1"),
        ("azure", None, None),
        ("azure", "https://a.openai.azure.com/openai/v1", "https://a.openai.azure.com/openai/v1"),
        ("fireworks", None, "https://api.fireworks.ai/inference/v1"),
        ("fireworks", "http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/inference/v1"),
        ("dashscope", None, "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
        ("dashscope", "https://dashscope.aliyuncs.com/api/v1", "https://dashscope.aliyuncs.com/compatible-mode/v1"),
        ("bedrock", None, "https://bedrock-runtime.us-east-1.amazonaws.com"),
        (
            "bedrock",
            "https://bedrock-fips.eu-west-1.aws.example",
            "https://bedrock-runtime-fips.eu-west-1.aws.example",
        ),
        ("bedrock", "https://v.bedrock.us-east-1.vpce.example", "https://v.bedrock-runtime.us-east-1.vpce.example"),
        ("bedrock", "https://bedrocks.example", "https://bedrocks.example"),
    ],
)
def test_models_are_called_on_the_host_of_the_account(
    provider: str, base_url: str | None, expected: str | None
) -> None:
    account = Account(
        name="a", provider=ProviderName(provider), api_key="env:K", base_url=base_url, region="us-east-1"
    )
    assert find_call_url(account) == expected


@pytest.mark.parametrize("option", sorted(CONDITIONAL_ACCOUNT_OPTIONS))
def test_conditional_account_option_is_accepted_by_some_provider(option: str) -> None:
    assert list_providers_with_account_option(option)


def test_only_openai_accepts_webhooks() -> None:
    assert list_providers_with_account_option("webhook_secret") == [ProviderName.OPENAI]


@pytest.mark.parametrize("name", ProviderName)
def test_console_pages_are_at_the_provider_and_contain_the_id(name: ProviderName) -> None:
    for page in PROVIDERS[name].console.values():
        assert page.template.startswith("https://")
        assert page.template.count("{id}") + page.template.count("{name}") == 1
        assert page.source


@pytest.mark.parametrize(
    ("provider", "resource", "resource_id", "url"),
    [
        ("openai", "job", "ftjob-1", "https://platform.openai.com/finetune/ftjob-1"),
        ("openai", "file", "file-1", "https://platform.openai.com/storage/files/file-1"),
        ("openai", "model", "ft:gpt:o::1", "https://platform.openai.com/playground/chat?models=ft:gpt:o::1"),
        ("together", "job", "ft-1", "https://api.together.ai/fine-tuning/ft-1"),
        ("together", "model", "acme/Qwen-7B", "https://api.together.ai/models/acme/Qwen-7B"),
        ("together", "file", "file-1", None),
        (
            "fireworks",
            "job",
            "accounts/a/supervisedFineTuningJobs/j1",
            "https://app.fireworks.ai/dashboard/fine-tuning/supervised/j1",
        ),
        ("fireworks", "job", "accounts/a/dpoJobs/j1", None),
        ("fireworks", "file", "accounts/a/datasets/d1", "https://app.fireworks.ai/dashboard/datasets/d1"),
        ("azure", "job", "ftjob-1", None),
        ("nebius", "job", "ftjob-1", None),
        ("openai-compatible", "job", "ftjob-1", None),
        ("openai", "job", "../../x", None),
        ("openai", "job", "ftjob/../../logout", None),
        ("openai", "job", 'x"><script>', None),
        ("openai", "model", "ft:gpt&models=other", None),
        ("openai", "model", None, None),
    ],
)
def test_console_link_of_a_resource(provider: str, resource: str, resource_id: str | None, url: str | None) -> None:
    account = Account(name="acme", provider=ProviderName(provider), api_key="env:KEY")
    assert find_console_url(account, ConsoleResource(resource), resource_id) == url


@pytest.mark.parametrize(
    ("base_url", "is_linked"),
    [(None, True), ("https://api.openai.com/v1", True), ("http://127.0.0.1:9999/v1", False)],
)
def test_resources_of_own_servers_have_no_console(base_url: str | None, is_linked: bool) -> None:
    account = Account(name="acme", provider=ProviderName.OPENAI, api_key="env:KEY", base_url=base_url)
    assert (find_console_url(account, ConsoleResource.JOB, "ftjob-1") is not None) is is_linked
    assert find_console_url(None, ConsoleResource.JOB, "ftjob-1") is None
