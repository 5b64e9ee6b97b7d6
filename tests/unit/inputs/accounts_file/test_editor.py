from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import ConfigError
from orchestrator.inputs.accounts_file.editor import add_account, remove_account

EXAMPLE = (Path(__file__).parents[4] / "accounts.example.toml").read_text(encoding="utf-8")
NEW = {"name": "new", "provider": "openai", "api_key": "env:NEW_KEY", "labels": ["a", "é"]}
HEAD = '# The head.\n[run]\nname = "r"\n\n[run.openai]\nbase_model = "m"\n'
ONE = (
    '\n# The first.\n[[accounts]]   # here\nname = "one"\nprovider = "openai"\n# budget_usd = 1\napi_key = "env:K"\n'
)
TWO = '\n# The second.\n[[accounts]]\nname = "two"\nlabels = [\n  "x",\n\n  ["y"],\n]\n\nprovider = "openai"\n'
TAIL = '\n# Receivers.\n# [[webhooks]]\n\n[[alerts]]\nurl = "env:A"\n'
BLOCKS = st.lists(
    st.sampled_from(
        [
            '# budget_usd = 1\nname = "{}"\n',
            'name = "{}"\nlabels = [\n  "x",\n\n  "[[accounts]]",\n]\n',
            'name = "{}"\nproject = """\n\n[other]\n"""\n\n# note\n',
            'name = "{}"\n\n# note\nprovider = "openai"\n',
        ]
    ),
    min_size=1,
    max_size=4,
)


def test_removed_account_takes_its_own_comment_and_no_other() -> None:
    assert remove_account(HEAD + ONE + TWO + TAIL, "one") == HEAD + TWO + TAIL
    assert remove_account(HEAD + ONE + TWO + TAIL, "two") == HEAD + ONE + TAIL


def test_added_account_follows_the_last_account() -> None:
    block = '\n[[accounts]]\nname = "new"\nprovider = "openai"\napi_key = "env:NEW_KEY"\nlabels = ["a", "é"]\n'
    assert add_account(HEAD + ONE + TAIL, NEW) == HEAD + ONE + block + TAIL


def test_comment_without_a_blank_line_above_belongs_to_the_account_before() -> None:
    text = HEAD + ONE + "# max_running_jobs = 2\n" + TWO[1:]
    assert "# max_running_jobs = 2" in remove_account(text, "two")


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n\n"])
@given(blocks=BLOCKS, tail=st.sampled_from(["", TAIL]))
def test_add_then_remove_gives_the_same_bytes(line_break: str, end: str, blocks: list[str], tail: str) -> None:
    accounts = "".join("\n[[accounts]]\n" + block.format(f"a{number}") for number, block in enumerate(blocks))
    text = ((HEAD + accounts + tail).rstrip("\n") + end).replace("\n", line_break)
    added = add_account(text, NEW)
    assert tomllib.loads(added)["accounts"] == [*tomllib.loads(text)["accounts"], NEW]
    assert added.count("\n") == added.count(line_break)
    assert remove_account(added, "new") == text


def test_example_keeps_its_comments() -> None:
    added = add_account(EXAMPLE, NEW)
    assert remove_account(added, "new") == EXAMPLE
    removed = remove_account(EXAMPLE, "acme-eu")
    assert "# Receivers of notifications." in removed
    assert "# docs/providers.md lists the options" in removed


def test_entry_at_the_start_of_the_file_can_be_removed() -> None:
    assert remove_account(ONE.lstrip("\n") + TWO + "\n" + HEAD, "one") == TWO[1:] + "\n" + HEAD


@pytest.mark.parametrize(
    ("name", "text"), [("one", HEAD + ONE), ("onne", HEAD + ONE + TWO), ("one", 'accounts = [{name = "one"}]')]
)
def test_impossible_removal_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        remove_account(text, name)
    assert caught.value.hint


def test_inline_accounts_are_refused() -> None:
    inline = 'accounts = [{name = "one"}, {name = "two"}]\n'
    with pytest.raises(ConfigError, match="cannot edit"):
        remove_account(inline, "one")
    with pytest.raises(ConfigError, match="cannot edit"):
        add_account(inline, NEW)


def test_name_in_use_is_refused() -> None:
    with pytest.raises(ConfigError, match="already has an account 'one'"):
        add_account(HEAD + ONE, {**NEW, "name": "one"})
