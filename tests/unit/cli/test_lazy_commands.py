"""No command is built but the one that is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator.cli.commands import app

COMMAND_COUNT = len(app.registered_commands)
GROUP_COUNT = len(app.registered_groups)


def count_built(*arguments: str) -> tuple[int, int]:
    """How many commands and groups there are after that; elsewhere, because it cannot be taken back."""
    code = f"""
from orchestrator.cli.commands import app, select_command
select_command({arguments!r})
print(len(app.registered_commands), len(app.registered_groups))
"""
    commands, groups = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.split()
    return int(commands), int(groups)


@pytest.mark.parametrize("named", ["run", "format"])
def test_single_command_is_built_alone(named: str) -> None:
    assert count_built(named, "--anything") == (1, 0)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("token", "run"), ("rum",)])
def test_other_arguments_build_every_command(arguments: tuple[str, ...]) -> None:
    assert count_built(*arguments) == (COMMAND_COUNT, GROUP_COUNT)
