"""`[run.PROVIDER]`: what a provider does not know is an error that names its equivalent."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.account import Account, HyperparameterFormat, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, LOCAL_OPTIONS
from orchestrator.core.errors import ConfigError
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.spec import TrainingSpec
from orchestrator.inputs.accounts_file.loader import AccountsFile, load_accounts_file
from orchestrator.inputs.accounts_file.schema import SpecTable

VALUES = {
    "method": '"supervised"',
    "n_epochs": "3",
    "batch_size": "8",
    "learning_rate_multiplier": "0.5",
    "learning_rate": "1e-5",
    "lora": "true",
    "lora_rank": "16",
    "lora_alpha": "32",
    "context_length": "4096",
    "training_type": '"Developer"',
    "byte_order_mark": "true",
}


def read(tmp_path: Path, provider: str, *lines: str, entry: str = "") -> AccountsFile:
    path = tmp_path / "accounts.toml"
    address = 'base_url = "https://h/v1"\norganization = "acme"\n'
    if provider in (ProviderName.VERTEX, ProviderName.BEDROCK):
        address += 'project = "acme-1"\nregion = "us-central1"\nbucket = "acme-chats"\n'
    if provider == ProviderName.BEDROCK:
        address += 'role_arn = "arn:aws:iam::123456789012:role/Training"\n'
    block = "\n".join(lines)
    path.write_text(
        f'[run]\nname = "t"\nseed = 7\n[run.{provider}]\nbase_model = "m"\n{block}\n'
        f'[[accounts]]\nname = "a"\nprovider = "{provider}"\napi_key = "env:K"\n{entry or address}'
    )
    return load_accounts_file(path)


def problems(tmp_path: Path, provider: str, *lines: str, entry: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, provider, *lines, entry=entry)
    return list(caught.value.problems)


@pytest.mark.parametrize("provider", ProviderName)
def test_missing_account_options_are_reported_with_the_line_to_add(tmp_path: Path, provider: ProviderName) -> None:
    required = PROVIDERS[provider].required_account_options
    if not required:
        assert read(tmp_path, provider, entry="\n").accounts[0].provider is provider
        return
    found = problems(tmp_path, provider, entry="\n")
    assert len(found) == len(required)
    for option, line in required.items():
        assert any(f"{option}: is missing; add {line}" in problem for problem in found)


def test_every_option_of_the_table_is_offered_by_some_provider() -> None:
    offered = {option for each in CAPABILITIES.values() for option in each.options}
    assert offered == SpecTable.model_fields.keys() - LOCAL_OPTIONS == VALUES.keys()


@pytest.mark.parametrize("provider", ProviderName)
def test_offered_option_is_read(tmp_path: Path, provider: ProviderName) -> None:
    options = CAPABILITIES[provider].options
    spec = read(tmp_path, provider, *(f"{option} = {VALUES[option]}" for option in options)).get_run().specs[provider]
    defaults = TrainingSpec(base_model="m")
    assert all(getattr(spec, option) != getattr(defaults, option) or option == "method" for option in options)
    assert spec.seed == (7 if CAPABILITIES[provider].seed else None)


@pytest.mark.parametrize("provider", ProviderName)
def test_tokenizer_is_not_part_of_the_spec(tmp_path: Path, provider: ProviderName) -> None:
    (tmp_path / "own.json").write_text("{}")
    file = read(tmp_path, provider, 'tokenizer = "own.json"')
    assert file.get_run().tokenizers == {provider: tmp_path / "own.json"}
    assert file.get_run().specs == read(tmp_path, provider).get_run().specs


def test_a_tokenizer_that_is_not_there_is_named_with_its_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "together", 'tokenizer = "own.json"')
    assert "[run.together]: tokenizer: is not a file" in problem


@pytest.mark.parametrize("provider", ProviderName)
def test_unsupported_option_is_refused_with_its_line(tmp_path: Path, provider: ProviderName) -> None:
    lacking = [option for option in VALUES if option not in CAPABILITIES[provider].options]
    found = problems(tmp_path, provider, *(f"{option} = {VALUES[option]}" for option in lacking))
    assert len(found) == len(lacking)
    for number, (option, problem) in enumerate(zip(lacking, found, strict=True), 6):
        assert problem.startswith(
            f"accounts.toml:{number}: [run.{provider}]: {option}: is not an option of {provider}"
        )


@pytest.mark.parametrize(
    ("provider", "option", "equivalent"),
    [
        ("together", "learning_rate_multiplier", "learning_rate, the rate itself"),
        ("fireworks", "learning_rate_multiplier", "learning_rate, the rate itself"),
        ("nebius", "learning_rate_multiplier", "learning_rate, the rate itself"),
        ("openai", "learning_rate", "learning_rate_multiplier, a factor"),
        ("azure", "learning_rate", "learning_rate_multiplier, a factor"),
        ("fireworks", "lora_alpha", "lora_rank"),
    ],
)
def test_equivalent_option_is_suggested(tmp_path: Path, provider: str, option: str, equivalent: str) -> None:
    (problem,) = problems(tmp_path, provider, f"{option} = {VALUES[option]}")
    assert f"its equivalent is {equivalent}" in problem


def test_option_without_an_equivalent_names_its_providers(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "openai", "lora = true")
    assert problem.endswith("it has no equivalent; remove it (known to nebius, together, dashscope)")


def test_unsupported_method_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "nebius", 'method = "dpo"')
    assert problem.endswith("method: must be one of supervised at nebius")


def test_fireworks_needs_the_accounts_id(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "fireworks", entry="labels = []\n")
    assert "organization: is missing" in problem


def test_a_provider_without_a_seed_is_warned_about(tmp_path: Path) -> None:
    (warning,) = read(tmp_path, "fireworks").warnings
    assert "without a seed" in warning
    assert read(tmp_path, "together").warnings == ()


@pytest.mark.parametrize(
    "option",
    [
        "send_auto = false",
        "suffix_length = 18",
        "suffix_required = true",
        "file_per_job = true",
        'hyperparameter_format = "flat"',
    ],
)
def test_compatible_server_options_are_refused_for_other_providers(tmp_path: Path, option: str) -> None:
    name = option.partition(" ")[0]
    [problem] = problems(tmp_path, "together", entry=option)
    assert f"{name}: is not an option for together, only for openai-compatible; remove the line" in problem


def test_a_compatible_server_can_be_described(tmp_path: Path) -> None:
    entry = (
        'base_url = "https://h/v1"\nsend_auto = false\nsuffix_length = 18\nsuffix_required = true\n'
        "file_per_job = true\n"
        'hyperparameter_format = "flat"\n'
    )
    file = read(tmp_path, "openai-compatible", entry=entry)
    [account] = file.accounts
    assert (account.send_auto, account.suffix_length, account.suffix_required, account.file_per_job) == (
        False,
        18,
        True,
        True,
    )
    assert account.hyperparameter_format is HyperparameterFormat.FLAT
    assert (Account(name="a", provider=account.provider, api_key="env:K").send_auto, file.get_run().specs) == (
        True,
        read(tmp_path, "openai-compatible").get_run().specs,  # no part of the spec, and so of no identity
    )


def test_suffix_cannot_be_required_and_impossible(tmp_path: Path) -> None:
    entry = 'base_url = "https://h/v1"\nsuffix_length = 0\nsuffix_required = true\n'
    [problem] = problems(tmp_path, "openai-compatible", entry=entry)
    assert "suffix_required: contradicts suffix_length = 0, which sends no suffix" in problem


@pytest.mark.parametrize("length", ["-1", "65", "true"])
def test_a_suffix_length_is_a_whole_number_up_to_64(tmp_path: Path, length: str) -> None:
    entry = f'base_url = "https://h/v1"\nsuffix_length = {length}\n'
    [problem] = problems(tmp_path, "openai-compatible", entry=entry)
    assert "suffix_length" in problem


def test_default_credentials_of_google_are_a_key_of_vertex_only(tmp_path: Path) -> None:
    key = 'api_key = "google:default"'
    path = tmp_path / "accounts.toml"
    for provider in ProviderName:
        try:
            read(tmp_path, provider)
        except ConfigError:
            continue
        path.write_text(path.read_text().replace('api_key = "env:K"', key))
        if provider is ProviderName.VERTEX:
            assert load_accounts_file(path).accounts[0].api_key == "google:default"
            continue
        with pytest.raises(ConfigError) as refused:
            load_accounts_file(path)
        assert any(
            f"google:default is not a key of {provider}, only of vertex" in each for each in refused.value.problems
        )
