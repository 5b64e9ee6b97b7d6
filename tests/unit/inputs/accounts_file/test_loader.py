from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.account import Account, BudgetPeriod, ProviderName
from orchestrator.core.errors import ConfigError
from orchestrator.core.spec import RunOptions, TrainingSpec
from orchestrator.inputs.accounts_file.loader import AccountsFile, load_accounts_file
from orchestrator.inputs.accounts_file.schema import AccountTable, AlertTable, RunsTable, SpecTable, WebhookTable

EXAMPLE = Path(__file__).parents[4] / "accounts.example.toml"
LITERAL = "sk-proj-canary-4f1d"
GOOD = """\
[run]
name = "tone"

[run.openai]
base_model = "gpt-4.1-mini"

[[accounts]]
name = "a"
provider = "openai"
api_key = "env:A_KEY"
"""

Read = Callable[[str], AccountsFile]
Problems = Callable[[str], list[str]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str) -> AccountsFile:
        path = tmp_path / "accounts.toml"
        path.write_text(text, encoding="utf-8")
        return load_accounts_file(path)

    return read


@pytest.fixture
def problems(read: Read) -> Problems:
    def problems(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text)
        assert caught.value.hint
        return list(caught.value.problems)

    return problems


def test_minimal_file_has_defaults(read: Read, tmp_path: Path) -> None:
    file = read(GOOD)
    assert file.get_run().options == RunOptions(name="tone")
    assert file.accounts == (Account(name="a", provider=ProviderName.OPENAI, api_key="env:A_KEY"),)
    assert file.get_run().specs == {ProviderName.OPENAI: TrainingSpec(base_model="gpt-4.1-mini", seed=42)}
    assert file.get_run().dataset == tmp_path / "chats"
    assert file.folder == tmp_path
    assert file.warnings == ()


def test_separate_validation_set_is_read(read: Read, tmp_path: Path) -> None:
    file = read(GOOD.replace('"tone"', '"tone"\nvalidation = "chats/held-out.jsonl"'))
    assert file.get_run().validation_path == tmp_path / "chats/held-out.jsonl"
    assert file.get_run().chat_paths == (tmp_path / "chats", tmp_path / "chats/held-out.jsonl")
    file = read(GOOD)
    assert (file.get_run().validation_path, file.get_run().chat_paths) == (None, tmp_path / "chats")


def test_every_option_arrives(read: Read) -> None:
    file = read("""\
[run]
name = "tone"
dataset = "data/all.jsonl"
validation_fraction = 0.25
seed = 7
suffix = "s"
max_total_usd = 40
allow_unknown_price = true
moderation = "a"
schedule = "0 3 * * 1"
[run.azure]
base_model = "m"
method = "dpo"
n_epochs = 3
batch_size = 8
learning_rate_multiplier = 0.5
[[accounts]]
name = "a"
provider = "azure"
api_key = "cmd:pass show a"
organization = "org"
project = "proj"
base_url = "https://r.openai.azure.com/openai/v1/"
budget_usd = 10
budget_period = "month"
max_running_jobs = 5
labels = ["eu", "x"]
""")
    assert file.get_run().options == RunOptions(
        name="tone",
        dataset="data/all.jsonl",
        validation_fraction=0.25,
        seed=7,
        suffix="s",
        max_total_usd=40,
        allow_unknown_price=True,
        moderation="a",
        schedule="0 3 * * mon",
    )
    assert file.get_run().specs[ProviderName.AZURE] == TrainingSpec(
        base_model="m",
        method="dpo",
        n_epochs=3,
        batch_size=8,
        learning_rate_multiplier=0.5,
        seed=7,
        suffix="s",
    )
    assert file.accounts == (
        Account(
            name="a",
            provider=ProviderName.AZURE,
            api_key="cmd:pass show a",
            organization="org",
            project="proj",
            base_url="https://r.openai.azure.com/openai/v1/",
            budget_usd=10,
            budget_period=BudgetPeriod.MONTH,
            max_running_jobs=5,
            labels=("eu", "x"),
        ),
    )


def test_the_example_is_a_good_file_with_every_option() -> None:
    file = load_accounts_file(EXAMPLE)
    assert file.warnings == ()
    lines = [line.removeprefix("# ") for line in EXAMPLE.read_text(encoding="utf-8").splitlines()]
    for table in (RunsTable, SpecTable, AccountTable, WebhookTable, AlertTable):
        for option in table.model_fields:
            shown = [line for line in lines if line.startswith(f"{option} = ")]
            assert any("#" in line for line in shown), f"{option} is not explained in {EXAMPLE.name}"


def test_the_example_works_with_every_option_switched_on(read: Read) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    for option in ("moderation", "schedule", "organization", "project", "base_url"):
        assert f"# {option} = " in text
        text = text.replace(f"# {option} = ", f"{option} = ", 1)  # tables further down have options of the same name
    assert read(text).accounts[0].base_url == "https://host/v1"


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(GOOD, encoding="utf-8-sig")
    assert load_accounts_file(path).get_run().options.name == "tone"


# One entry for each mistake: what is replaced in the good file, by what, and the one problem that results.
MISTAKES = [
    ('name = "tone"', "", "accounts.toml:1: [run]: name: is missing; add name ="),
    ('name = "tone"', 'name = " "', "accounts.toml:2: [run]: name: is empty"),
    ('name = "tone"', "name = 3", "accounts.toml:2: [run]: name: must be a valid string"),
    ('"tone"', '"t"\nseeed = 1', 'accounts.toml:3: [run]: seeed: is not a known option; did you mean "seed"?'),
    (
        '"tone"',
        '"t"\nxyzzy = 1',
        "accounts.toml:3: [run]: xyzzy: is not a known option; known options: name, dataset",
    ),
    ('"tone"', '"t"\nseed = -1', "[run]: seed: must be greater than or equal to 0"),
    ('"tone"', '"t"\nseed = 1.5', "[run]: seed: must be a valid integer"),
    ('"tone"', '"t"\nseed = "1"', "[run]: seed: must be a valid integer"),
    ('"tone"', '"t"\nseed = 2147483648', "[run]: seed: must be less than or equal to 2147483647"),
    ('"tone"', '"t"\nvalidation_fraction = 0.6', "validation_fraction: must be less than or equal to 0.5"),
    ('"tone"', '"t"\nvalidation_fraction = -0.1', "validation_fraction: must be greater than or equal to 0"),
    ('"tone"', '"t"\nvalidation = ""', "[run]: validation: is empty"),
    (
        '"tone"',
        '"t"\nvalidation = "v.jsonl"\nvalidation_fraction = 0.1',
        "validation: cannot be used together with valida",
    ),
    ('"tone"', '"t"\nvalidation = "chats"', "[run]: validation: is the dataset or contains it"),
    ('"tone"', '"t"\nvalidation = "./"', "[run]: validation: is the dataset or contains it"),
    ('"tone"', '"t"\ndataset = "x/y"\nvalidation = "x"', "[run]: validation: is the dataset or contains it"),
    ('"tone"', '"t"\nvalidation = "\\u0000"', "[run]: validation:"),
    ('"tone"', '"t"\nmax_total_usd = 0', "max_total_usd: must be greater than 0"),
    ('"tone"', '"t"\nmax_total_usd = inf', "max_total_usd: must be a finite number"),
    ('"tone"', '"t"\nmax_total_usd = nan', "max_total_usd: must be a finite number"),
    ('"tone"', '"t"\nallow_unknown_price = "yes"', "allow_unknown_price: must be a valid boolean"),
    ('"tone"', '"t"\nsuffix = ""', "suffix: must have 1 to 64 characters"),
    ('"tone"', f'"t"\nsuffix = "{"x" * 65}"', "suffix: must have 1 to 64 characters"),
    ('"tone"', '"t"\nmoderation = "A"', 'moderation: is not the name of an account in this file; did you mean "a"?'),
    ('"tone"', '"t"\nmoderation = "zz"', "moderation: is not the name of an account in this file; write the name"),
    ('"tone"', '"t"\nmoderation = "a"\nmoderation_waived = "x"', "moderation_waived: contradicts moderation"),
    ('"tone"', '"t"\nschedule = "daily"', "schedule: must have five fields"),
    ('"tone"', '"t"\nbase_model = "m"', "[run]: base_model: does not belong here but in [run.PROVIDER]"),
    ("[run.openai]", "[run.opnai]", None),
    ('base_model = "gpt-4.1-mini"', "", "accounts.toml:4: [run.openai]: base_model: is missing; add base_model ="),
    ('-mini"', '"\nseed = 3', "accounts.toml:6: [run.openai]: seed: does not belong here but in [run]"),
    ('-mini"', '"\nmethod = "rl"', "method: must be 'supervised' or 'dpo'"),
    ('-mini"', '"\nn_epochs = 0', 'n_epochs: must be a whole number from 1 to 50, or "auto"'),
    ('-mini"', '"\nn_epochs = 51', 'n_epochs: must be a whole number from 1 to 50, or "auto"'),
    ('-mini"', '"\nn_epochs = true', 'n_epochs: must be a whole number from 1 to 50, or "auto"'),
    ('-mini"', '"\nn_epochs = "3"', 'n_epochs: must be a whole number from 1 to 50, or "auto"'),
    ('-mini"', '"\nbatch_size = 0', 'batch_size: must be a whole number of at least 1, or "auto"'),
    ('-mini"', '"\nlearning_rate_multiplier = 0', 'learning_rate_multiplier: must be a number above 0, or "auto"'),
    ('-mini"', '"\nlearning_rate_multiplier = inf', 'learning_rate_multiplier: must be a number above 0, or "auto"'),
    ('name = "a"', "", "accounts.toml:7: [[accounts]] number 1: name: is missing"),
    ('name = "a"', 'name = "a b"', "accounts.toml:8: [[accounts]] number 1: name: must be 1 to 64 of the characters"),
    ('name = "a"', 'name = "ä"', "number 1: name: must be 1 to 64 of the characters"),
    ('name = "a"', f'name = "{"a" * 65}"', "number 1: name: must be 1 to 64 of the characters"),
    (
        'provider = "openai"',
        'provider = "opena"',
        "provider: must be one of openai, azure, nebius, openai-compatible",
    ),
    ('provider = "openai"', 'provider = "opena"', 'did you mean "openai"?'),
    ('provider = "openai"', "provider = [1]", "provider: must be one of"),
    ('provider = "openai"', 'provider = "nebius"', "[[accounts]] a: provider: has no block; add [run.nebius]"),
    (
        '"env:A_KEY"',
        '"env:A_KEY"\norganization = "org\\nX: y"',
        "organization: contains a line break or another control",
    ),
    (
        '"env:A_KEY"',
        '"env:A_KEY"\nproject = "p\\u202e"',
        "project: contains a line break or another control character",
    ),
    ('-mini"', '-mini\\u0007"', "base_model: contains a line break or another control character"),
    ('"env:A_KEY"', '"env:A_KEY"\nbudget_usd = 0', "budget_usd: must be greater than 0"),
    ('"env:A_KEY"', '"env:A_KEY"\nbudget_period = "year"', "budget_period: must be 'total', 'month' or 'run'"),
    ('"env:A_KEY"', '"env:A_KEY"\nmax_running_jobs = 0', "max_running_jobs: must be greater than or equal to 1"),
    ('"env:A_KEY"', '"env:A_KEY"\nlabels = "eu"', "labels: must be a valid list"),
    ('"env:A_KEY"', '"env:A_KEY"\nlabels = ["eu", 3]', "labels: must be a valid string"),
    ('"env:A_KEY"', '"env:A_KEY"\norganisation = "o"', 'organisation: is not a known option; did you mean "organi'),
    ('api_key = "env:A_KEY"', "", "[[accounts]] a: api_key: is missing; add api_key ="),
    ('"env:A_KEY"', '"env:A KEY"', "accounts.toml:10: [[accounts]] a: api_key: must name an environment variable"),
    ('"env:A_KEY"', '"file:"', "api_key: must name a file after file:"),
    ('"env:A_KEY"', '"cmd: "', "api_key: must name a command after cmd:"),
    ('"env:A_KEY"', '"cmd:pass \'a"', "api_key: has a quote that is not closed"),
    ("[run]", "[runs]", None),
    ("[run.openai]", "[openai]", "accounts.toml:4: [openai]: a provider's table is written [run.openai]"),
    ("[[accounts]]", "[accounts]", "accounts.toml:7: accounts: must be written [[accounts]], with two brackets"),
    ("[[accounts]]", "[[account]]", 'accounts.toml:7: account: is not known; did you mean "accounts"?'),
    ("[run]\n", "", "accounts.toml:1: name: belongs below the header [run]"),
    ('[run]\nname = "tone"\n\n[run.openai]', 'run = "tone"\n[x]', "accounts.toml:1: run: must be a table"),
    (
        '[run.openai]\nbase_model = "gpt-4.1-mini"',
        'openai = "m"',
        "[run]: openai: must be a table: write [run.openai]",
    ),
    (GOOD[GOOD.index("[[accounts]]") :], "", "accounts.toml: has no account; add [[accounts]]"),
]


@pytest.mark.parametrize(("good", "bad", "expected"), MISTAKES)
def test_mistake_is_reported_with_its_line(problems: Problems, good: str, bad: str, expected: str | None) -> None:
    assert good in GOOD
    found = problems(GOOD.replace(good, bad, 1))
    if expected is not None:
        assert [text for text in found if expected in text], found


def test_a_misspelt_block_is_named(problems: Problems) -> None:
    assert problems(GOOD.replace("run.openai", "run.opnai")) == [
        'accounts.toml:4: [run]: opnai: is not a known option; did you mean "openai"?',
        'accounts.toml:9: [[accounts]] a: provider: has no block; add [run.openai] with base_model = "…" below it',
    ]


def test_all_problems_are_reported_in_file_order(problems: Problems) -> None:
    found = problems(f"""\
[run]
name = "tone"
seeed = 1
[run.openai]
n_epochs = 0
[[accounts]]
name = "a"
provider = "openai"
api_key = "{LITERAL}"
[[accounts]]
name = "a"
provider = "azure"
api_key = "env:X"
budget_usd = -1
""")
    starts = [text.split(": ", 3)[:3] for text in found]
    assert starts == [
        ["accounts.toml:3", "[run]", "seeed"],
        ["accounts.toml:4", "[run.openai]", "base_model"],
        ["accounts.toml:5", "[run.openai]", "n_epochs"],
        ["accounts.toml:9", "[[accounts]] a", "api_key"],
        ["accounts.toml:10", "[[accounts]] a", "base_url"],
        ["accounts.toml:11", "[[accounts]] a", "name"],
        ["accounts.toml:12", "[[accounts]] a", "provider"],
        ["accounts.toml:14", "[[accounts]] a", "budget_usd"],
    ]
    assert "is already used in line 7" in found[5]


@pytest.mark.parametrize(
    "reference",
    [LITERAL, f"key:{LITERAL}", f"ENV:{LITERAL}", f"env:{LITERAL}", f" {LITERAL}", f"cmd:'{LITERAL}"],
)
def test_a_literal_key_is_refused_and_never_repeated(read: Read, reference: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(GOOD.replace("env:A_KEY", reference))
    error = caught.value
    assert len(error.problems) == 1
    assert error.problems[0].startswith("accounts.toml:10: [[accounts]] a: api_key: ")
    assert "canary" not in repr((str(error), error.hint, error.problems, error.__cause__, error.args))


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://example.com/v1", "would send the key unencrypted"),
        ("http://127.0.0.1.example.com/v1", "would send the key unencrypted"),
        ("http://10.0.0.1/v1", "would send the key unencrypted"),
        ("ftp://example.com", "must be an address"),
        ("example.com/v1", "must be an address"),
        ("https://", "must be an address"),
        ("https://h:port/v1", "must be an address"),
        ("https://user:canary@example.com/v1", "must consist of scheme, host and path only"),
        ("https://example.com/v1?key=canary", "must consist of scheme, host and path only"),
    ],
)
def test_an_unsafe_address_is_refused(problems: Problems, url: str, fault: str) -> None:
    found = problems(f'{GOOD}base_url = "{url}"\n')
    assert len(found) == 1
    assert found[0].startswith(f"accounts.toml:11: [[accounts]] a: base_url: {fault}")
    assert "canary" not in found[0]


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://h /v1", "contains a space; remove it"),
        (" https://h/v1", "contains a space; remove it"),
        ("https://h", 'has no path; most servers need "https://h/v1". If the API is at the root'),
        ("https://h/v1/chat/completions", 'ends with the path of one call; write only the part before it: "'),
        ("https://h/v1/fine_tuning/jobs/", 'ends with the path of one call; write only the part before it: "'),
        ("https://r.openai.azure.com/openai?api-version=2024-10-21", "has a query, and the API that"),
    ],
)
def test_copied_base_url_is_corrected(problems: Problems, url: str, fault: str) -> None:
    found = problems(f'{GOOD}base_url = "{url}"\n')
    assert len(found) == 1
    assert found[0].startswith(f"accounts.toml:11: [[accounts]] a: base_url: {fault}")


@pytest.mark.parametrize("url", ["http://10.0.0.1/v1", "http://trainer:8000/v1", "http://[fd00::1]/v1"])
def test_http_to_a_private_network_is_taken_when_it_is_allowed(read: Read, url: str) -> None:
    account = read(f'{GOOD}base_url = "{url}"\nallow_http = true\n').accounts[0]
    assert (account.base_url, account.allow_http) == (url, True)


@pytest.mark.parametrize(("allowed", "url"), [("true", "http://8.8.8.8/v1"), ("false", "http://10.0.0.1/v1")])
def test_http_to_a_public_address_is_refused(problems: Problems, allowed: str, url: str) -> None:
    [found] = problems(f'{GOOD}allow_http = {allowed}\nbase_url = "{url}"\n')
    assert "would send the key unencrypted" in found
    assert "allow_http" in found


@pytest.mark.parametrize("proxy", ["none", "direct", "env:PROXY", "file:proxy", "http://proxy:3128", "proxy:3128"])
def test_account_may_have_its_own_proxy(read: Read, proxy: str) -> None:
    assert read(f'{GOOD}proxy = "{proxy}"\n').accounts[0].proxy == proxy


@pytest.mark.parametrize(
    ("proxy", "fault"),
    [
        ("http://user:canary@proxy:3128", "contains a user or password, which is a secret; write proxy = "),
        ("socks5://user:canary@proxy:1", "is a SOCKS proxy, which is not supported"),
        ("http://", "must be an address such as http://proxy.example:3128"),
    ],
)
def test_a_proxy_that_cannot_be_one_is_refused_and_its_password_not_repeated(
    problems: Problems, proxy: str, fault: str
) -> None:
    [found] = problems(f'{GOOD}proxy = "{proxy}"\n')
    assert found.startswith(f"accounts.toml:11: [[accounts]] a: proxy: {fault}")
    assert "canary" not in found


@pytest.mark.parametrize(
    "url", ["https://h/", "https://h/v1", "http://localhost:8000/v1", "http://127.0.0.1:1/v1", "http://[::1]:8000/v1"]
)
def test_a_safe_address_is_taken(read: Read, url: str) -> None:
    assert read(f'{GOOD}base_url = "{url}"\n').accounts[0].base_url == url


@pytest.mark.parametrize("provider", ["azure", "openai-compatible"])
def test_a_provider_without_an_address_of_its_own_needs_one(problems: Problems, provider: str) -> None:
    found = problems(GOOD.replace("openai", provider))
    assert len(found) == 1
    assert "[[accounts]] a: base_url: is missing; add base_url = " in found[0]


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no accounts file") as caught:
        load_accounts_file(tmp_path / "accounts.toml")
    assert "`orchestrator init`" in caught.value.hint


def test_a_folder_and_a_strange_encoding_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_accounts_file(tmp_path)
    path = tmp_path / "accounts.toml"
    path.write_text(GOOD, encoding="utf-16")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_accounts_file(path)


@pytest.mark.parametrize(
    ("good", "bad", "line"),
    [
        ('"env:A_KEY"', LITERAL, 10),
        ('"tone"', '"tone', 2),
        ("[[accounts]]", "[[accounts]", 7),
        ('name = "a"', 'name = "a"\nname = "b"', 9),
    ],
)
def test_broken_toml_is_reported_with_its_line(problems: Problems, good: str, bad: str, line: int) -> None:
    found = problems(GOOD.replace(good, bad, 1))
    assert len(found) == 1
    assert found[0].startswith(f"accounts.toml:{line}: ")
    assert "canary" not in found[0]


def test_a_key_in_an_unused_option_is_not_repeated(read: Read) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f'{GOOD}key = "{LITERAL}"\nlabels = "{LITERAL}"\n')
    assert "canary" not in repr((str(caught.value), caught.value.problems, caught.value.__cause__))


def test_suspicious_value_is_a_warning(read: Read) -> None:
    file = read(
        GOOD
        + """\
[[accounts]]
name = "b"
provider = "openai"
api_key = "env:A_KEY"
[[accounts]]
name = "c"
provider = "openai"
api_key = "env:A_KEY"
project = "another"
[run.nebius]
base_model = "m"
"""
    )
    assert file.warnings == (
        "[run.nebius] is not used: no account has this provider",
        "a, b are one account at the provider: each trains, and pays for, a model of its own",
    )


SEVERAL_RUNS = """
[[runs]]
name = "tone"
dataset = "tone"
[runs.openai]
base_model = "gpt-4.1-mini"
[[runs]]
name = "facts"
accounts = ["label:eu", "c"]
priority = 5
[runs.openai]
base_model = "gpt-4.1-nano"
[runs.nebius]
base_model = "llama"
[[accounts]]
name = "a"
provider = "openai"
api_key = "env:A"
[[accounts]]
name = "b"
provider = "openai"
api_key = "env:B"
labels = ["eu"]
[[accounts]]
name = "c"
provider = "openai"
api_key = "env:C"
"""


def test_several_runs_have_their_own_options_specs_and_accounts(read: Read, tmp_path: Path) -> None:
    file = read(SEVERAL_RUNS.replace('[runs.nebius]\nbase_model = "llama"\n', ""))
    tone, facts = file.runs
    assert file.has_several_runs
    assert [run.options.name for run in file.runs] == ["tone", "facts"]
    assert ([a.name for a in tone.accounts], [a.name for a in facts.accounts]) == (["a", "b", "c"], ["b", "c"])
    assert (tone.options.priority, facts.options.priority) == (0, 5)
    assert (tone.dataset, facts.dataset) == (tmp_path / "tone", tmp_path / "chats")
    assert facts.specs == {ProviderName.OPENAI: TrainingSpec(base_model="gpt-4.1-nano", seed=42)}
    assert file.get_run("facts") is facts
    assert file.warnings == ()
    for name, message in [(None, "describes 2 runs"), ("fact", 'there is no run "fact".*did you mean "facts"')]:
        with pytest.raises(ConfigError, match=message) as caught:
            file.get_run(name)
        assert "The runs are: tone, facts" in caught.value.hint


def test_unused_parts_of_several_runs_are_warnings(read: Read) -> None:
    file = read(SEVERAL_RUNS.replace('dataset = "tone"', 'accounts = ["c"]'))
    assert file.warnings == (
        "[runs.nebius] of facts is not used: no selected account has this provider",
        "account a is in no run: no [[runs]] entry selects it in `accounts`",
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            '[[runs]]\nname = "tone"',
            '[run]\nname = "x"\n[[runs]]\nname = "tone"',
            "2: [run]: cannot be used together",
        ),
        ('name = "facts"', 'name = "tone"', "8: [[runs]] tone: name: is already used in line 3; give each run"),
        ('name = "facts"', 'name = "my facts"', "8: [[runs]] number 2: name: must be 1 to 64 of the characters"),
        ('"label:eu"', '"label:us"', '9: [[runs]] facts: accounts: "label:us" is not a label of an account'),
        ('"c"]', '"d"]', '9: [[runs]] facts: accounts: "d" is not the name of an account in this file'),
        ('["label:eu", "c"]', "[]", "9: [[runs]] facts: accounts: selects no account"),
        ("priority = 5", 'priority = "high"', "10: [[runs]] facts: priority: must be a valid integer"),
        (
            "priority = 5",
            "prioritty = 5",
            '10: [[runs]] facts: prioritty: is not a known option; did you mean "priority"',
        ),
        ('base_model = "llama"', "n_epochs = 0", "14: [runs.nebius] of facts: n_epochs: "),
        ('[runs.openai]\nbase_model = "gpt-4.1-nano"', "", "7: [[runs]] facts: has no block for account b"),
    ],
)
def test_problem_of_one_of_several_runs_names_its_line(read: Read, old: str, new: str, problem: str) -> None:
    assert old in SEVERAL_RUNS
    with pytest.raises(ConfigError) as caught:
        read(SEVERAL_RUNS.replace(old, new))
    assert any(text.removeprefix("accounts.toml:").startswith(problem) for text in caught.value.problems), (
        caught.value.problems
    )


def test_priority_in_a_single_run_belongs_to_several_runs(read: Read) -> None:
    text = '[run]\nname = "a"\npriority = 1\n[run.openai]\nbase_model = "m"\n'
    with pytest.raises(ConfigError) as caught:
        read(text + '[[accounts]]\nname = "a"\nprovider = "openai"\napi_key = "env:A"\n')
    assert "priority: does not belong here but in [[runs]]" in caught.value.problems[0]
