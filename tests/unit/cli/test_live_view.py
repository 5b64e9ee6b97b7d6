"""The live view fits the height of the terminal and keeps the summary and the failures in sight."""

from __future__ import annotations

import asyncio
from io import StringIO

import pytest
from rich.console import Console
from status_values import JOB
from web_values import run

from orchestrator.cli import foreground
from orchestrator.cli.live_view import build_live_view
from orchestrator.core.errors import Failure
from orchestrator.core.structs import replace
from orchestrator.status import JobView, StatusSnapshot

REFUSED = Failure("bad_key", "The provider refuses the key of the account", "Replace the key in the accounts file.")
MODEL = "ft:gpt-4.1-mini-2025-04-14:sunrise-school:support:8182aefb"


def snapshot_of(accounts: int, failed: tuple[int, ...], model: str = "ft:m") -> StatusSnapshot:
    jobs = [replace(JOB, account=f"account-{number:03}", fine_tuned_model=model) for number in range(accounts)]
    for number in failed:
        jobs[number] = replace(jobs[number], state="failed", fine_tuned_model=None, error=REFUSED)
    counts = {"failed": len(failed), "succeeded": accounts - len(failed)}
    return StatusSnapshot(run=None, jobs=tuple(jobs), counts=counts)


def draw(status: StatusSnapshot, *, width: int = 80, height: int = 24) -> list[str]:
    output = StringIO()
    console = Console(file=output, width=width, height=height, highlight=False, markup=False)
    console.print(build_live_view(status, console))
    return output.getvalue().splitlines()


@pytest.mark.parametrize("model", ["ft:m", MODEL])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 50), (80, 12)])
def test_summary_and_failures_of_300_accounts_are_in_sight(width: int, height: int, model: str) -> None:
    lines = draw(snapshot_of(300, (150, 299), model), width=width, height=height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "2 failed, 298 succeeded" in text
    assert "account-150, account-299: bad_key: The provider refuses the key" in text
    assert "more accounts, shown by `orchestrator status`." in lines[-1]


def test_failed_accounts_are_the_first_rows() -> None:
    rows = [
        line for line in draw(snapshot_of(300, (150, 299))) if line.startswith("account-") and "bad_key" not in line
    ]
    assert ["account-150" in rows[0], "account-299" in rows[1]] == [True, True]


def test_many_different_problems_leave_space_for_the_table() -> None:
    jobs = tuple(
        replace(JOB, account=f"account-{n}", state="failed", error=replace(REFUSED, message=f"Problem {n}"))
        for n in range(300)
    )
    lines = draw(StatusSnapshot(run=None, jobs=jobs, counts={"failed": 300}))
    assert len(lines) < 24
    assert lines[0] == "300 failed"
    assert any(line.startswith("account-") and "failed" in line for line in lines)
    assert any(line.startswith("More problems:") for line in lines)


def test_status_that_fits_is_shown_whole() -> None:
    lines = draw(snapshot_of(5, (1,)))
    assert sum("account-" in line for line in lines) == 6
    assert not any("more account" in line for line in lines)


def runs_of(count: int) -> StatusSnapshot:
    """Two runs with a job in each of these accounts; one job has failed."""
    jobs = [
        replace(JOB, account=f"account-{number}", run=name, state="running", fine_tuned_model=None)
        for name in ("run-1", "run-2")
        for number in range(count)
    ]
    jobs[-1] = replace(jobs[-1], state="failed", error=REFUSED)
    return StatusSnapshot(
        run=run(id="run-1", name="tone"),
        other_runs=(run(id="run-2", name="facts", priority=5),),
        jobs=tuple(jobs),
        counts={"failed": 1, "running": 2 * count - 1},
    )


def test_low_terminal_has_a_line_for_each_run_and_a_column_of_runs() -> None:
    lines = draw(runs_of(100))
    assert len(lines) < 24
    assert lines[:3] == ["2 runs: 1 failed, 199 running", "tone: 100 running", "facts: 1 failed, 99 running"]
    first = next(line for line in lines if line.startswith("account-") and "bad_key" not in line)
    assert ("account-99" in first, "facts" in first) == (True, True), "the failed job is the first row, with its run"
    assert "more jobs, shown by `orchestrator status`." in lines[-1]


def test_runs_that_fit_have_a_table_each() -> None:
    text = "\n".join(draw(runs_of(2), height=60))
    assert text.index("tone · run run-1") < text.index("facts · run run-2 · priority 5")
    assert "1 failed, 1 running" in text


async def test_pipe_names_the_run_of_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    stopping = asyncio.Event()
    stopping.set()

    async def read_status() -> StatusSnapshot:
        return runs_of(1)

    await foreground.print_changes(read_status, None, stopping)
    first, second = capsys.readouterr().out.splitlines()
    assert (first, second.startswith("facts account-0 failed bad_key")) == ("tone account-0 running", True)


async def test_pipe_gets_a_line_for_each_change_only(capsys: pytest.CaptureFixture[str]) -> None:
    stopping = asyncio.Event()
    running: JobView = replace(JOB, account="acme", state="running", fine_tuned_model=None)
    states = [running, running, replace(JOB, account="acme")]

    async def read_status() -> StatusSnapshot:
        job = states.pop(0)
        if not states:
            stopping.set()
        return StatusSnapshot(run=None, jobs=(job, replace(JOB, account="blue")))

    await foreground.print_changes(read_status, None, stopping)
    assert capsys.readouterr().out.splitlines() == ["acme running", "blue succeeded ft:m", "acme succeeded ft:m"]
