"""The completion scripts, in the shells themselves: a person types a part of a word and presses Tab."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine_speed import scale_seconds
from processes import clean_environ
from terminal import Terminal

ACCOUNTS = """\
[run]
name = "support-tone"
[[accounts]]
name = "acme-eu"
[[accounts]]
name = "acme-us"
[[accounts]]
name = 7
[[webhooks]]
url = "env:HOOK_ADDRESS"
"""
READY = "shell-is-ready"
TAB = "\t"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an accounts file that is not valid, as while someone edits it, and the program on the PATH."""
    (tmp_path / "accounts.toml").write_text(ACCOUNTS)
    return tmp_path


@pytest.fixture
def environ(folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    assert shutil.which("orchestrator", path=path)
    return clean_environ() | {
        "PATH": path, "HOME": str(folder), "TERM": "dumb", "COLUMNS": "400", "LANG": "C.UTF-8", "PS1": "$ ",
    }  # fmt: skip


@pytest.fixture
def shells() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for each in opened:
        each.close()


def type_into(shell: Terminal, prepare: str, lines: list[tuple[str, str]]) -> None:
    """Load the script, type each text, and wait until the shell has completed it to the other."""
    # Quotes divide the word that is waited for: the shell also echoes what is typed.
    shell.answer("", f"{prepare}; echo shell''-is-ready\n")
    shell.answer(READY, "")
    for typed, completed in lines:
        shell.answer("", typed + TAB)
        shell.answer(completed, "\x15")  # Ctrl-U: the line is never executed


COMPLETIONS = [
    ("orchestrator stat", "orchestrator status"),
    ("orchestrator notif", "orchestrator notify-test"),
    ("orchestrator deliveries ret", "orchestrator deliveries retry"),
    ("orchestrator logs --foll", "orchestrator logs --follow"),
    ("orchestrator logs acme-e", "orchestrator logs acme-eu"),
    ("orchestrator logs acme-eu --run sup", "--run support-tone"),
    ("orchestrator retry acme-eu acm", "orchestrator retry acme-eu acme-us"),
    ("orchestrator status --state proc", "--state processing"),
    ("orchestrator validate --accounts acc", "--accounts accounts.toml"),
]


def test_bash_completes_commands_options_and_names(
    folder: Path, environ: dict[str, str], shells: list[Terminal]
) -> None:
    shells.append(Terminal(folder, ["bash", "--norc", "--noprofile", "-i"], environ))
    type_into(shells[0], 'eval "$(orchestrator completion bash)"', COMPLETIONS)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_commands_options_and_names(
    folder: Path, environ: dict[str, str], shells: list[Terminal]
) -> None:
    shells.append(Terminal(folder, ["zsh", "-f", "-i"], environ))
    prepare = 'autoload -U compinit; compinit -u -D; eval "$(orchestrator completion zsh)"'
    type_into(shells[0], prepare, COMPLETIONS)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_commands_options_and_names(folder: Path, environ: dict[str, str]) -> None:
    lines = "; ".join(f"complete --do-complete '{typed}'; echo end-of-line" for typed, _ in COMPLETIONS)
    done = subprocess.run(
        ["fish", "--no-config", "--command", f"orchestrator completion fish | source; {lines}"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=scale_seconds(120),
    )
    answers = done.stdout.split("end-of-line\n")[:-1]
    for (typed, completed), answer in zip(COMPLETIONS, answers, strict=True):
        offered = [line.partition("\t")[0] for line in answer.splitlines()]
        assert any(each.startswith(completed.split()[-1]) for each in offered), (typed, answer)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("logs ", ["acme-eu", "acme-us"]),
        ("notify-test ", ["env:HOOK_ADDRESS"]),
        ("account remove acme-u", ["acme-us"]),
        ("validate --accounts other.toml", []),
        ("logs --run x", []),
        ("status --run ", ["support-tone"]),
        ("approve --run sup", ["support-tone"]),
    ],
)
def test_suggestions_are_those_of_the_accounts_file(
    folder: Path, environ: dict[str, str], words: str, expected: list[str]
) -> None:
    assert suggest(folder, environ, words) == expected


@pytest.mark.parametrize(
    "content", [b"[[accounts", b"\xff\xfe", b'accounts = "acme"\nrun = 3', b"x = " + b"[" * 9999]
)
def test_an_unusable_accounts_file_suggests_nothing(folder: Path, environ: dict[str, str], content: bytes) -> None:
    (folder / "accounts.toml").write_bytes(content)
    assert suggest(folder, environ, "logs ") == []
    (folder / "accounts.toml").unlink()
    assert suggest(folder, environ, "logs ") == []


def suggest(folder: Path, environ: dict[str, str], words: str) -> list[str]:
    """Return what the program suggests to bash for the last one of these words. It prints no error."""
    line = f"orchestrator {words}".split(" ")
    request = {
        "_ORCHESTRATOR_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(line),
        "COMP_CWORD": str(len(line) - 1),
    }
    done = subprocess.run(
        ["orchestrator"],
        cwd=folder,
        env=environ | request,
        capture_output=True,
        text=True,
        check=False,
        timeout=scale_seconds(60),
    )
    assert done.stderr == ""
    return done.stdout.split()
