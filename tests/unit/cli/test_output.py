"""The status in the terminal: drawn when few, aligned when many."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from status_values import JOB, status

from orchestrator.cli import output as render
from orchestrator.cli import tables
from orchestrator.core.config_refusal import ConfigRefusal
from orchestrator.core.errors import Failure
from orchestrator.status import StatusSnapshot


def test_thousands_of_jobs_are_printed_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    render.print_status(status(render.MAX_TABLE_ROWS + 1))
    heading, first, second, *_, counts = capsys.readouterr().out.splitlines()
    assert heading.index("provider") == first.index("openai") == second.index("openai")
    assert first.endswith("bad: It broke. Mend it.")
    assert counts == "1 failed, 200 succeeded"


def test_a_narrow_terminal_shows_every_word() -> None:
    stalled = Failure("job_stalled", "nothing has changed for 6 h: the job is running", "Look at it.")
    running = replace(JOB, account="acme-production-eu", state="running", warning=stalled, fine_tuned_model=None)
    model = "ft:sandbox-small:acme:support:CZk4QpX1"
    shown = StatusSnapshot(
        run=None, jobs=(running, replace(JOB, provider="openai-compatible", fine_tuned_model=model))
    )
    output = StringIO()
    drawing = Console(file=output, width=80, highlight=False, markup=False)
    drawing.print(tables.build_status_table(shown, drawing.width))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 20
    words = " ".join(output.getvalue().split())
    assert "acme-production-eu: job_stalled: nothing has changed for 6 h: the job is running. Look at it." in words
    assert model in "".join(line.split("│")[-2].strip() for line in lines if line.startswith("│"))


def test_few_jobs_are_drawn_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    render.print_status(status(render.MAX_TABLE_ROWS))
    assert "│ the-longest-name" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"waits_for": "a slot", "wake_at": 86400.0}, "Waiting for a slot; next check at 1970-01-02 00:00 UTC."),
        ({"waits_for": "`orchestrator start`"}, "Waiting for `orchestrator start`."),
        ({"warning": Failure("job_stalled", "it stands.", "Look.")}, "job_stalled: it stands. Look."),
        (
            {"error": Failure("daily_limit", "full", "Nothing to do."), "waits_for": "a slot", "wake_at": 60.0},
            "daily_limit: full. Nothing to do. Waiting for a slot; next check at 1970-01-01 00:01 UTC.",
        ),
    ],
)
def test_line_shows_the_reason_and_the_warning_of_a_job(values: dict[str, Any], shown: str) -> None:
    assert render.format_advice(replace(JOB, **values)) == shown


def test_line_shows_the_time_in_the_state() -> None:
    cells = render.format_row(replace(JOB, state="running", state_since=1000.0), 1000.0 + 3 * 3600 + 5)
    assert cells[2:4] == ("running", "3 h")


LONG_FINDING = (
    "accounts.toml:12: accounts.acme-production-eu.api_key: the variable " + "OPENAI_KEY_OF_ACME_PRODUCTION_EU"
)
REFUSAL = ConfigRefusal(
    Failure("config_error", "/srv/accounts.toml has 4 faults", "Correct what is listed and start again."),
    at=86400.0,
    findings=(f"{LONG_FINDING} is not set", "accounts.toml:3: \x1b[2Jextra"),
    more=2,
)


def test_reload_error_is_one_line_per_finding_in_a_pipe() -> None:
    assert render.format_refusal(replace(status(1), refusal=REFUSAL), None) == [
        "An edit was refused at 1970-01-02 00:00 UTC; the previous version stays in force.",
        "config_error: /srv/accounts.toml has 4 faults",
        f"  {LONG_FINDING} is not set",
        r"  accounts.toml:3: \x1b[2Jextra",
        "  and 2 more",
        "Correct what is listed and start again.",
    ]
    assert render.format_refusal(status(1), None) == []


def test_reload_error_is_above_the_table_within_80_columns() -> None:
    output = StringIO()
    drawing = Console(file=output, width=80, highlight=False, markup=False)
    drawing.print(tables.build_live_view(replace(status(2), refusal=REFUSAL), drawing.width))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("An edit was refused")
    heading = next(number for number, line in enumerate(lines) if "account" in line and "provider" in line)
    above = " ".join(" ".join(lines[:heading]).split())
    assert f"{LONG_FINDING} is not set" in above
    assert "Correct what is listed and start again." in above
