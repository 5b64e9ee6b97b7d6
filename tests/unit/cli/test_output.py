"""Tables and status lines fit the terminal: drawn for few jobs, aligned for many, no text cut at 80 columns."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from status_values import JOB, status

from orchestrator.cli import output, status_table, tables
from orchestrator.cli.live_view import build_live_view
from orchestrator.cli.plan_table import build_plan_table
from orchestrator.core.account import ProviderName
from orchestrator.core.config_refusal import ConfigRefusal
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.jobs.job import JobId, RunId
from orchestrator.core.plans.plan import Plan, PlanLine, PlanStep
from orchestrator.core.structs import replace
from orchestrator.exports import select_models
from orchestrator.status import StatusSnapshot


def test_thousands_of_jobs_are_printed_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    status_table.print_status(status(tables.MAX_TABLE_ROWS + 1))
    heading, first, second, *_, counts = capsys.readouterr().out.splitlines()
    assert heading.index("provider") == first.index("openai") == second.index("openai")
    assert first.endswith("bad: It broke. Fix it.")
    assert counts == "1 failed, 200 succeeded"


def test_narrow_terminal_shows_the_whole_advice() -> None:
    stalled = Failure("job_stalled", "nothing has changed for 6 h: the job is running", "Check it.")
    running = replace(JOB, account="acme-production-eu", state="running", warning=stalled, fine_tuned_model=None)
    model = "ft:sandbox-small:acme:support:CZk4QpX1"
    shown = StatusSnapshot(
        run=None, jobs=(running, replace(JOB, provider="openai-compatible", fine_tuned_model=model))
    )
    output = StringIO()
    drawing = Console(file=output, width=80, highlight=False, markup=False)
    drawing.print(status_table.build_status_table(shown, drawing.width))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 20
    words = " ".join(output.getvalue().split())
    assert "acme-production-eu: job_stalled: nothing has changed for 6 h: the job is running. Check it." in words
    assert any(model in line for line in lines)


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        ("ft:sandbox-small:sunrise:6b601171", ["account", "provider", "state", "for", "fine-tuned model"]),
        ("ft:gpt-4.1-mini:sunrise-school:support:8182aefb", ["account", "state", "for", "fine-tuned model"]),
        ("ft:gpt-4.1-mini:sunrise-school:support-4711:8182aefb", ["account", "state", "fine-tuned model"]),
    ],
)
def test_narrow_terminal_leaves_out_columns_until_each_model_id_is_whole(model: str, columns: list[str]) -> None:
    shown = StatusSnapshot(run=None, jobs=(replace(JOB, account="sunrise-school", fine_tuned_model=model),))
    lines = render(status_table.build_status_table(shown, 80), 80)
    assert max(map(len, lines)) <= 80
    assert any(model in line for line in lines)
    headings = next(line for line in lines if "account" in line)
    assert [name for name in output.STATUS_COLUMNS if name in headings] == columns


def test_id_that_is_wider_than_the_terminal_is_printed_on_one_line_below_its_account() -> None:
    model = "ft:gpt-4.1-mini-2025-04-14:sunrise-school-district:customer-support:8182aefb"
    jobs = tuple(replace(JOB, account=f"sunrise-{number}", fine_tuned_model=model) for number in range(12))
    lines = render(status_table.build_status_table(StatusSnapshot(run=None, jobs=jobs), 60), 60)
    assert lines.count(f"  fine-tuned model: {model}") == 12
    assert len(lines) < 50


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("validation_loss", [None, 0.6789])
def test_checkpoints_show_their_losses_at_any_width(width: int, validation_loss: float | None) -> None:
    kept = Checkpoint(
        id="c", number=1, step=12, training_loss=0.9668, validation_loss=validation_loss, model=f"ft:{'m' * 38}"
    )
    models = select_models("tone", [replace(JOB, checkpoints=(kept,))], {})
    text = "\n".join(render(status_table.build_checkpoints_table(models, width), width))
    assert "0.9668" in text
    assert ("0.6789" in text) is (validation_loss is not None)
    assert "loss" not in text.partition("Not shown")[2]


def test_same_advice_for_several_accounts_is_printed_once() -> None:
    hold = Failure("run_too_expensive", "the run costs too much", "Approve it.")
    held = [replace(JOB, account=f"acme-{number}", held=True, error=hold) for number in range(10)]
    shown = StatusSnapshot(run=None, jobs=tuple(held))
    text = " ".join(" ".join(render(status_table.build_status_table(shown, 80), 80)).split())
    assert text.count("the run costs too much") == 1
    assert "acme-6, acme-7 and 2 more: run_too_expensive: the run costs too much. Approve it." in text


def test_few_jobs_are_drawn_as_a_table_on_a_terminal() -> None:
    few, many = (
        render(status_table.build_status_table(status(tables.MAX_TABLE_ROWS + more), 100), 100) for more in (0, 1)
    )
    assert any("│ the-longest-name" in line for line in few)
    assert not any("│" in line for line in many)


def test_pipe_gets_one_line_per_row_with_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    failure = Failure("bad_key", "The key is refused " + "again " * 60, "Replace it.")
    jobs = (JOB, replace(JOB, account="b", state="failed", error=failure))
    status_table.print_status(StatusSnapshot(run=None, jobs=jobs))
    heading, first, second, *_ = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[0] == "account"
    assert set(output.STATUS_COLUMNS) <= {name for name in output.STATUS_COLUMNS if name in heading}
    assert first.startswith("a ")
    assert second.endswith("Replace it.")


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"waits_for": "a slot", "wake_at": 86400.0}, "Waiting for a slot; next check at 1970-01-02 00:00 UTC."),
        ({"waits_for": "`orchestrator start`"}, "Waiting for `orchestrator start`."),
        ({"warning": Failure("job_stalled", "no progress.", "Check it.")}, "job_stalled: no progress. Check it."),
        (
            {"error": Failure("daily_limit", "full", "Nothing to do."), "waits_for": "a slot", "wake_at": 60.0},
            "daily_limit: full. Nothing to do. Waiting for a slot; next check at 1970-01-01 00:01 UTC.",
        ),
    ],
)
def test_line_shows_the_reason_and_the_warning_of_a_job(values: dict[str, Any], shown: str) -> None:
    assert output.format_advice(replace(JOB, **values)) == shown


def test_line_shows_the_time_in_the_state() -> None:
    cells = output.format_row(replace(JOB, state="running", state_since=1000.0), 1000.0 + 3 * 3600 + 5)
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
    assert output.format_refusal(replace(status(1), refusal=REFUSAL), None) == [
        "An edit was refused at 1970-01-02 00:00 UTC; the previous version stays in force.",
        "config_error: /srv/accounts.toml has 4 faults",
        f"  {LONG_FINDING} is not set",
        r"  accounts.toml:3: \x1b[2Jextra",
        "  and 2 more",
        "Correct what is listed and start again.",
    ]
    assert output.format_refusal(status(1), None) == []


def test_reload_error_is_above_the_table_within_80_columns() -> None:
    output = StringIO()
    drawing = Console(file=output, width=80, highlight=False, markup=False)
    drawing.print(build_live_view(replace(status(2), refusal=REFUSAL), drawing))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("An edit was refused")
    heading = next(number for number, line in enumerate(lines) if "account" in line and "provider" in line)
    above = " ".join(" ".join(lines[:heading]).split())
    assert f"{LONG_FINDING} is not set" in above
    assert "Correct what is listed and start again." in above


def render(table: Any, width: int) -> list[str]:
    output = StringIO()
    Console(file=output, width=width, highlight=False, markup=False).print(table, crop=False)
    return output.getvalue().splitlines()


def build_table(headings: tuple[str, ...], row: tuple[str, ...], width: int | None) -> Any:
    columns = [tables.Column(heading=heading) for heading in headings[:-1]]
    last = tables.Column(heading=headings[-1], wraps=True)
    return tables.fit_table([*columns, last], [row], width).place_between((), ())


def test_table_that_does_not_fit_becomes_blocks() -> None:
    headings = ("time", "event", "remote job", "message")
    row = (
        "2026-11-29T02:23:49+00:00",
        "remote job created",
        "ftjob-6beb645c600f46c993d5d5f0",
        "the provider accepted it",
    )
    wide, narrow = (render(build_table(headings, row, width), width) for width in (140, 80))
    assert any("│" in line for line in wide)
    assert narrow == [
        row[0],
        f"  event: {row[1]}  remote job: {row[2]}",
        f"  message: {row[3]}",
    ]


def test_table_without_borders_is_used_if_only_the_borders_do_not_fit() -> None:
    headings, row = ("setting", "source", "value"), ("S" * 37, "environment", "sqlite:///orchestrator.db")
    shown = render(build_table(headings, row, 80), 80)
    assert [line.split() for line in shown] == [list(headings), list(row)]


def test_wide_shows_every_column_at_any_width() -> None:
    columns = [tables.Column(heading="name"), tables.Column(heading="note", importance=1)]
    table = tables.fit_table(columns, [("a" * 30, "b" * 30)], None)
    output = StringIO()
    Console(file=output, width=40).print(table.place_between((), ()), crop=False)
    assert f"│ {'a' * 30} │ {'b' * 30} │" in output.getvalue().splitlines()


def test_columns_that_were_left_out_are_named_unless_they_are_empty() -> None:
    columns = [
        tables.Column(heading="name"),
        tables.Column(heading="note", importance=1),
        tables.Column(heading="unused", importance=2),
    ]
    table = tables.fit_table(columns, [("a" * 30, "b" * 30, "–")], 40)
    assert table.left_out == ("note",)


def test_title_is_not_wrapped_at_the_width_of_a_narrow_table() -> None:
    snapshot = status(2)
    shown = render(status_table.build_status_table(snapshot, 80), 80)
    assert (output.format_title(snapshot) or shown[0]) == shown[0].rstrip()
    assert output.format_counts(snapshot) in shown


def test_block_omits_empty_values() -> None:
    row = ("2026-11-29 02:23:49 UTC", "–", "", "m" * 60)
    shown = render(build_table(("time", "event", "remote job", "message"), row, 40), 80)
    assert " ".join(" ".join(shown).split()) == f"{row[0]} message: {row[3]}"


def test_plan_shows_price_source_and_reason_below_a_narrow_table() -> None:
    hold = Hold("unsafe_plan", "the price is above the budget", "Raise budget_usd.")
    new = PlanLine(
        account="acme",
        provider=ProviderName.OPENAI,
        base_model="sandbox-small",
        job_id=JobId("job-1"),
        step=PlanStep.NEW,
        usd=0.08,
        price_source="price file, 2026-11-28",
    )
    part = DatasetPart(path=Path("x.jsonl"), sha256="ab" * 32, bytes=1000, examples=14, tokens=5200)
    plan = Plan(
        run_id=RunId("run-1"),
        name="tone",
        dataset=Dataset(training=part),
        specs={},
        lines=(new, replace(new, account="blue", step=PlanStep.HELD, hold=hold, earlier_usd=0.24)),
    )
    shown = render(build_plan_table(plan, 80), 80)
    assert max(map(len, shown)) <= 80
    text = " ".join(" ".join(shown).split())
    assert text.count("Price of sandbox-small: price file, 2026-11-28") == 1
    assert "blue: unsafe_plan: the price is above the budget. Raise budget_usd." in text
    assert "Dataset abababababababab: 14 examples, 1,000 bytes, 5,200 tokens" in shown[1]
    assert "Actions: new job: 1" in text
    assert "price of the run: $0.40, of which $0.08 for new jobs and $0.24 for earlier rounds of jobs" in text
