"""A command refuses arguments that it would ignore, such as --all beside names: the other jobs would be billed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from orchestrator.cli.commands import app

COMMANDS = (
    ("cancel",),
    ("retry",),
    ("hold",),
    ("release",),
    ("deploy",),
    ("undeploy",),
    ("deliveries", "retry"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_names_and_all_are_not_combined(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*command, "7", "--all"])
    assert result.exit_code == 2
    assert "pass either names or --all, not both" in result.output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_empty_selection_selects_nothing(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, list(command))
    assert result.exit_code == 2
    assert "name at least one" in result.output


def test_an_id_and_all_are_not_combined() -> None:
    result = CliRunner().invoke(app, ["undeploy", "--id", "0123456789abcdef", "--all"])
    assert "pass either names or --all, not both" in result.output


@pytest.mark.parametrize("option", [["--json"], ["--format", "csv"], ["--output", "f"], ["--checkpoint", "1"]])
def test_list_of_checkpoints_refuses_options_that_it_would_ignore(option: list[str]) -> None:
    result = CliRunner().invoke(app, ["models", "--checkpoints", *option])
    assert result.exit_code == 2
    assert f"Invalid value for {option[0]}: is not used together with --checkpoints" in result.output
