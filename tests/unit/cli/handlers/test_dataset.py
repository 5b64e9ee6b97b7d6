"""The options of check, polish and format."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.handlers.dataset import load_rules_and_chats, parse_names
from orchestrator.cli.output import translate_write_errors
from orchestrator.core.errors import ConfigError
from orchestrator.settings import load_settings

ACCOUNTS = """
[run]
name = "x"
dataset = "chats"
seed = 7
validation_fraction = 0.2
[run.openai]
base_model = "sandbox-small"
method = "dpo"
[[accounts]]
name = "one"
provider = "openai"
api_key = "env:ONE"
"""


def test_user_names_come_from_a_list_or_a_file(tmp_path: Path) -> None:
    assert parse_names(None) == ()
    assert parse_names(" Ana, Chloé ,,Bo") == ("Ana", "Chloé", "Bo")
    assert parse_names(",".join(["Ana"] * 2_000)) == ("Ana",) * 2_000
    (tmp_path / "names.txt").write_bytes("\ufeffAna\r\n\r\nVan der Berg, Jo\n".encode())
    assert parse_names(str(tmp_path / "names.txt")) == ("Ana", "Van der Berg, Jo")


def test_unreadable_user_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00")
    for argument in (str(tmp_path / "names.txt"), ",", ""):
        with pytest.raises(ConfigError):
            parse_names(argument)


def test_rules_come_from_the_accounts_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings({})
    rules, chats = load_rules_and_chats(settings, [Path("a"), Path("b")])
    assert (rules.minimum_examples, rules.base_models, chats) == (0, (), [Path("a"), Path("b")])
    with pytest.raises(ConfigError):
        load_rules_and_chats(settings, [])

    Path("accounts.toml").write_text(ACCOUNTS)
    for paths in ([], [Path("chats")], [tmp_path / "chats"]):
        rules, chats = load_rules_and_chats(settings, paths)
        assert (rules.minimum_examples, rules.method, rules.seed, rules.validation_fraction) == (10, "dpo", 7, 0.2)
        assert chats == (paths or [Path("chats")])
    Path("accounts.toml").write_text(ACCOUNTS.replace("validation_fraction = 0.2", 'validation = "own.jsonl"'))
    rules, _ = load_rules_and_chats(settings, [])
    assert rules.validation_path == tmp_path / "own.jsonl"
    rules, _ = load_rules_and_chats(settings, [Path("chats/one.json")])
    assert rules.validation_path is None
    assert (rules.minimum_examples, rules.base_models) == (0, ("sandbox-small",))


def test_unwritable_file_is_reported_plainly(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="cannot be written: No such file"),
        translate_write_errors(tmp_path / "no" / "file"),
    ):
        (tmp_path / "no" / "file").write_text("x")
