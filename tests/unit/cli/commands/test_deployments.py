"""The options of `deploy` are those of a deployment, and an empty selection is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli.commands import app, deployments
from orchestrator.cli.commands.deployments import SPEC_OPTIONS
from orchestrator.control import DeploymentSelection


def test_every_option_of_a_deployment_reaches_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[DeploymentSelection] = []

    async def deploy_models(_app: Any, selection: DeploymentSelection, **_options: Any) -> int:
        received.append(selection)
        return 0

    monkeypatch.setattr("orchestrator.cli.handlers.deployments.deploy_models", deploy_models)
    monkeypatch.setattr(deployments, "run_with_app", lambda work: asyncio.run(work(None)))
    given = {
        "kind": "hour",
        "keep_hours": 4.5,
        "hardware": "H100",
        "shape": "FAST",
        "config": "cr_1",
        "capacity": 3,
        "min_replicas": 0,
        "max_replicas": 2,
        "idle_stop_minutes": 30,
        "precision": "FP8",
    }
    given = {name: value for name, value in given.items() if name in SPEC_OPTIONS}
    arguments = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    result = CliRunner().invoke(app, ["deploy", "acme", *arguments])
    assert result.exit_code == 0, result.output
    assert received[0].options == given
    assert set(given) == set(SPEC_OPTIONS)  # a new option of a deployment needs one of the command
    assert received[0].accounts == ["acme"]


@pytest.mark.parametrize("arguments", [["deploy"], ["undeploy"], ["deployments", "--approve"]])
def test_an_empty_selection_is_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "name at least one account" in result.output


def test_ids_only_select_what_is_approved() -> None:
    result = CliRunner().invoke(app, ["deployments", "--id", "0123456789abcdef"])
    assert result.exit_code == 2
    assert "--approve" in result.output


@pytest.mark.parametrize("option", [["--run", "tone"], ["--state", "ready"], ["--provider", "together"], ["--ended"]])
@pytest.mark.parametrize("other", [["--approve", "--account", "acme"], ["--live"]])
def test_filter_that_would_be_ignored_is_refused(option: list[str], other: list[str]) -> None:
    result = CliRunner().invoke(app, ["deployments", *other, *option])
    assert result.exit_code == 2
    assert f"Invalid value for {option[0]}: is not used together with {other[0]}" in result.output


def test_approval_and_the_list_of_the_providers_are_not_combined() -> None:
    result = CliRunner().invoke(app, ["deployments", "--approve", "--account", "acme", "--live"])
    assert "Invalid value for --live" in result.output, "nothing was approved"
