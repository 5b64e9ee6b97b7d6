"""`--help` lists every command in a panel, fits 80 columns, imports little, and shows examples that are valid."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
import typer

from orchestrator.cli.commands import app
from orchestrator.cli.commands.help_layout import Panel

WIDTH = 80
ROOT: Any = typer.main.get_command(app)
SLOW_MODULES = ("orchestrator.app", "pydantic", "rich", "sqlalchemy", "structlog")


def list_commands(group: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, each in group.commands.items():
        yield (*path, name), each
        if hasattr(each, "commands"):
            yield from list_commands(each, (*path, name))


COMMANDS = dict(list_commands())


def list_examples(command: Any) -> list[str]:
    """Return the calls of the program in the examples of the command, without comments and other programs."""
    text = inspect.cleandoc(command.epilog or "").replace("\\\n", " ")
    parts = [part for line in text.splitlines() for part in re.split(r"&&|\|| > ", line.partition("  #")[0])]
    return [part.strip() for part in parts if part.strip().startswith("orchestrator ")]


EXAMPLES = sorted({text for each in (ROOT, *COMMANDS.values()) for text in list_examples(each)})


def print_help(path: tuple[str, ...]) -> str:
    """Return the help as a terminal of WIDTH columns shows it. Typer's test runner has another width."""
    command: Any = ROOT
    with patch.dict(os.environ, {"COLUMNS": str(WIDTH)}):
        context = command.make_context("orchestrator", [], resilient_parsing=True)
        for name in path:
            command = command.commands[name]
            context = command.make_context(name, [], context, resilient_parsing=True)
        text: str = command.get_help(context)
    return text


def test_every_command_of_the_root_is_in_a_panel() -> None:
    assert [name for name, each in ROOT.commands.items() if each.rich_help_panel not in Panel] == []
    listed = re.findall(r"^  ([a-z][a-z-]*) ", print_help(()).partition("\nExamples:")[0], flags=re.MULTILINE)
    assert sorted(listed) == sorted(ROOT.commands)


def test_the_panels_are_in_the_order_of_a_new_users_needs() -> None:
    headings = re.findall(r"^(\S.*):$", print_help(()), flags=re.MULTILINE)
    assert headings == ["Options", *Panel, "Examples"]


def test_no_description_in_the_overview_is_cut() -> None:
    assert [line for line in print_help(()).splitlines() if line.endswith("...") and "Usage" not in line] == []


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=" ".join)
def test_help_fits_the_terminal(path: tuple[str, ...]) -> None:
    assert [line for line in print_help(path).splitlines() if len(line) > WIDTH] == []


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_of_itself(path: tuple[str, ...]) -> None:
    name = " ".join(("orchestrator", *path))
    assert any(f"{example} ".startswith(f"{name} ") for example in list_examples(COMMANDS[path]))


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_valid_call(example: str) -> None:
    arguments = shlex.split(example)[1:]
    if "COMMAND" in arguments:  # the overview's reference to the help of each command
        arguments = []
    command: Any = ROOT
    while hasattr(command, "commands") and arguments:
        command = command.commands[arguments.pop(0)]
    command.make_context("example", arguments or ["--help"], resilient_parsing=not arguments)


def test_help_imports_no_slow_module() -> None:
    code = f"""
import sys
sys.argv = ["orchestrator", "--help"]
from orchestrator.cli import main
try:
    main()
except SystemExit:
    pass
print(*(name for name in {SLOW_MODULES} if name in sys.modules), file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "Set up:" in result.stdout
    assert result.stderr.split() == []
