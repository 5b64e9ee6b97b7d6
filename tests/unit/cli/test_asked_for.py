"""No command is built but the one that is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator.cli.commands import app

EVERY = len(app.registered_commands)
GROUPS = len(app.registered_groups)


def built(*arguments: str) -> tuple[int, int]:
    """How many commands and groups there are after that; elsewhere, because it cannot be taken back."""
    code = f"""
from orchestrator.cli.commands import app, select_command
select_command({arguments!r})
print(len(app.registered_commands), len(app.registered_groups))
"""
    commands, groups = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.split()
    return int(commands), int(groups)


@pytest.mark.parametrize("named", ["run", "format"])
def test_a_command_stands_alone(named: str) -> None:
    assert built(named, "--anything") == (1, 0)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("token", "run"), ("rum",)])
def test_whatever_else_is_said_needs_them_all(arguments: tuple[str, ...]) -> None:
    assert built(*arguments) == (EVERY, GROUPS)
