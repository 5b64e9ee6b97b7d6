"""TOML and paths that Python's own libraries end with errors of their own become one message."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.errors import ConfigError
from orchestrator.core.secret import Redactor
from orchestrator.inputs.accounts_file.loader import load_accounts_file
from orchestrator.inputs.prices import load_prices
from orchestrator.inputs.secrets.references import resolve_reference
from orchestrator.settings import load_settings

FILE = """\
[run]
name = "x"
dataset = DATASET
[run.nebius]
base_model = "m"
tokenizer = TOKENIZER
[[accounts]]
name = "acme"
provider = "nebius"
api_key = "env:KEY"
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = " + "[" * 100_000, "nested too deep"),
        ("x = " + "{a=" * 5_000 + "1" + "}" * 5_000, "nested too deep"),
        ("x = " + "9" * 5_000, "a number has too many digits"),
    ],
    ids=["arrays", "tables", "digits"],
)
def test_deep_or_huge_toml_is_refused(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "it.toml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=why):
        load_accounts_file(path)
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_prices(path)


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ('[run]\nname = "x"\n[[accounts\nname = "acme"', "it.toml:3: ", "A header stands on a line of its own"),
        ('[run]\nname = "x"\n[[accounts', "it.toml:3: ", "[run] or [[accounts]]"),
        ('[run\nname = "x"', "it.toml:1: ", "A header stands on a line of its own"),
        ("[run]\n[run]\n", "it.toml:2: ", "A header may occur once"),
        ("[run]\nseed = 1\nseed = 2", "it.toml:3: ", "occurs twice below one header"),
        ("[run]]", "it.toml:1: ", "one option or one header in each line"),
        ("[run]\nname", "it.toml:2: ", 'name = "value"'),
        ('[run]\nlabels = ["a" "b"]', "it.toml:2: ", "with commas and both brackets"),
        ("[run]\nname = x", "it.toml:2: ", "Text needs quotes"),
        ('[run]\ndataset = "C:\\chats"', "it.toml:2: ", "a backslash needs single quotes"),
    ],
)
def test_hint_about_faulty_toml_fits_the_fault(text: str, place: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "it.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is not valid TOML") as refused:
        load_accounts_file(path)
    assert hint in refused.value.hint
    assert refused.value.problems[0].startswith(place)


def test_unknown_home_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(FILE.replace("DATASET", '"~nosuchuser/chats"').replace("TOKENIZER", '"~nosuchuser/t.json"'))

    with pytest.raises(ConfigError) as raised:
        load_accounts_file(path)
    with pytest.raises(ConfigError, match=r"begins with ~nosuchuser, .*; write the full path"):
        resolve_reference("file:~nosuchuser/key", base_folder=tmp_path, redact=Redactor())

    assert [problem.partition(", ")[0] for problem in raised.value.problems] == [
        "accounts.toml:3: [run]: dataset: begins with ~nosuchuser",
        "accounts.toml:6: [run.nebius]: tokenizer: begins with ~nosuchuser",
    ]


def test_nul_character_in_a_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(FILE.replace("DATASET", '"a\\u0000b"').replace("TOKENIZER", '"a\\u0000b"'))

    with pytest.raises(ConfigError) as raised:
        load_accounts_file(path)

    assert [problem for problem in raised.value.problems if "contains a NUL character" in problem] == list(
        raised.value.problems
    )


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://u:secret@127.0.0.1:bad/db", "has no port from 0 to 65535"),
        ("postgresql://u:secret@127.0.0.1:99999/db", "has no port from 0 to 65535"),
        ("postgresql://u:secret@[::1/db", "has no port from 0 to 65535"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
    ],
)
def test_database_url_without_a_host_is_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings({"ORCHESTRATOR_DATABASE_URL": url})

    (problem,) = raised.value.problems
    assert why in problem
    assert "secret" not in problem


@pytest.mark.parametrize("rest", ["u:p/w@host:5432/db", "host/db?ssl=require", "u@[::1]:5432/db", "/db?host=/run"])
def test_valid_urls_are_accepted(rest: str) -> None:
    assert load_settings({"ORCHESTRATOR_DATABASE_URL": f"postgresql://{rest}"}).database_url.endswith(rest)
