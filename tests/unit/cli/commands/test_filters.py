"""The filter options of the command line become one job filter; contradictions are usage errors."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli.commands import app
from orchestrator.cli.commands.filters import build_job_filter
from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState

NONE: dict[str, Any] = {"state": None, "provider": None, "label": None, "held": False, "failed": False}


@pytest.mark.parametrize(
    ("options", "job_filter"),
    [
        ({}, JobFilter()),
        ({"failed": True}, JobFilter(state="failed")),
        ({"failed": True, "state": JobState.FAILED}, JobFilter(state="failed")),
        ({"held": True, "label": "eu"}, JobFilter(held=True, label="eu")),
        (
            {"accounts": ["acme"], "provider": ProviderName.NEBIUS},
            JobFilter(accounts=("acme",), provider=ProviderName.NEBIUS),
        ),
    ],
)
def test_options_become_a_filter(options: dict[str, Any], job_filter: JobFilter) -> None:
    assert build_job_filter(**NONE | options) == job_filter


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--failed", "--state", "running"],
        ["status", "--failed", "--held"],
        ["retry", "--failed", "--held"],
        ["retry"],
        ["status", "--state", "asleep"],
    ],
)
def test_contradicting_or_missing_choice_is_a_usage_error(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2
