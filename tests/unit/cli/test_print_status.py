"""The status in the terminal: drawn when few, aligned when many."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.cli import render
from orchestrator.core.errors import Failure
from orchestrator.status import JobView, Status

JOB = JobView(
    account="a",
    provider="openai",
    base_model="m",
    labels=(),
    organization=None,
    job="j",
    state="succeeded",
    held=False,
    remote_file_id=None,
    remote_job_id=None,
    remote_status=None,
    fine_tuned_model="ft:m",
    servable=True,
    progress=1.0,
    error=None,
    attempts=0,
    round=0,
    hyperparameters={},
    trained_tokens=None,
    estimated_usd=None,
    quoted_usd=None,
    created_at=0,
    state_since=0,
    submitted_at=None,
    finished_at=None,
    wake_at=None,
    latest_event="remote_succeeded",
)


def status(accounts: int) -> Status:
    failed = replace(JOB, account="the-longest-name", state="failed", error=Failure("bad", "It broke.", "Mend it."))
    jobs = (failed, *(replace(JOB, account=f"a{number}") for number in range(accounts - 1)))
    return Status(run=None, jobs=jobs, counts={"failed": 1, "succeeded": accounts - 1})


def test_thousands_stand_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    render.print_status(status(render.MOST_DRAWN + 1))
    heading, first, second, *_, counts = capsys.readouterr().out.splitlines()
    assert heading.index("provider") == first.index("openai") == second.index("openai")
    assert first.endswith("bad: It broke. Mend it.")
    assert counts == "1 failed, 200 succeeded"


def test_few_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    render.print_status(status(render.MOST_DRAWN))
    assert "│ the-longest-name" in capsys.readouterr().out
