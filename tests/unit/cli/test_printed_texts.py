"""Texts of providers and files are printed on one line, without control characters that a terminal executes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest
from status_values import JOB, status
from web_values import run

from orchestrator.cli import foreground, output, status_table, tables
from orchestrator.cli.session import format_error
from orchestrator.core.errors import ConfigError, DatasetError, Failure
from orchestrator.core.hold import HoldKind
from orchestrator.core.structs import replace
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.output.formatters import to_text
from orchestrator.dataset.rules import DatasetRules
from orchestrator.status import JobView, StatusSnapshot

HOSTILE_TEXT = "a\x1b[2J\x1b]0;t\x07\u202e\x9b31m\nq-zzz succeeded ft:forged"
ACTIVE = set("\x1b\x07\u202e\x9b")
FAILED = replace(
    JOB, account="acme", state="failed", fine_tuned_model=HOSTILE_TEXT, error=Failure("bad", HOSTILE_TEXT, "Fix it.")
)


def assert_harmless(text: str) -> None:
    assert not set(text) & ACTIVE, ascii(text)
    assert not [line for line in text.splitlines() if line.lstrip("│ ").startswith("q-zzz")]
    assert "forged" in text


@pytest.mark.parametrize("more", [0, tables.MAX_TABLE_ROWS])
def test_status_is_printed_escaped(more: int, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = status(more + 1)
    status_table.print_status(replace(snapshot, jobs=(FAILED, *snapshot.jobs[1:])))
    assert_harmless(capsys.readouterr().out)


def test_plain_table_is_printed_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    tables.print_table(
        [tables.Column(heading="when"), tables.Column(heading="message", wraps=True)], [("now", HOSTILE_TEXT)]
    )
    assert_harmless(capsys.readouterr().out)


async def print_once(*jobs: JobView) -> None:
    class FixedStatus:
        async def read_status(self, _run: str | None = None) -> StatusSnapshot:
            return StatusSnapshot(run=cast(Any, None), jobs=jobs, counts={})

    stopping = asyncio.Event()
    stopping.set()
    await foreground.follow_status(cast(Any, FixedStatus()), foreground.is_settled, stopping)


async def test_run_progress_is_printed_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    await print_once(FAILED)
    assert_harmless(capsys.readouterr().out)


async def test_a_moderation_is_one_line_for_all_accounts(capsys: pytest.CaptureFixture[str]) -> None:
    waits = replace(JOB, held=True, error=Failure(HoldKind.MODERATING, "the chats are being moderated", "Wait."))
    await print_once(replace(waits, account="acme"), replace(waits, account="globex"), FAILED)
    assert [line.split(" ")[0] for line in capsys.readouterr().out.splitlines()][:2] == ["moderating", "acme"]


def test_error_is_printed_escaped() -> None:
    text = format_error(ConfigError(HOSTILE_TEXT, hint=HOSTILE_TEXT, problems=[HOSTILE_TEXT]))
    assert_harmless(text)
    assert [line.split(" ")[0] for line in text.splitlines()] == ["error:", "", "hint:"]


def test_error_about_an_empty_folder_says_it_once(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as refused:
        build_dataset(tmp_path, tmp_path / "datasets", DatasetRules())
    text = format_error(refused.value)
    assert [line.partition(": ")[0] for line in text.splitlines()] == ["error", "hint"]
    assert text.count("no chats found") == text.count("Add chats") == text.count("[no-chats]") == 1


def test_error_with_several_findings_lists_all_of_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text("[")
    with pytest.raises(DatasetError) as refused:
        build_dataset(tmp_path, tmp_path / "datasets", DatasetRules(minimum_examples=0))
    text = format_error(refused.value)
    assert [line.strip().partition(":")[0] for line in text.splitlines()] == ["error", "a.json", "b.json", "hint"]


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"message": HOSTILE_TEXT})
    out = capsys.readouterr().out
    assert not set(out) & ACTIVE
    assert json.loads(out) == {"message": HOSTILE_TEXT}


def test_check_prints_file_names_escaped(tmp_path: Path) -> None:
    (tmp_path / f"{HOSTILE_TEXT}.json").write_text("{")
    (tmp_path / f"{HOSTILE_TEXT}.md").write_text("ignored")
    assert_harmless(to_text(check_dataset(tmp_path, DatasetRules(minimum_examples=0))))


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["planned", "succeeded"], "Interrupted: no job is running at a provider. Run the same command"),
        (["running", "planned"], "Interrupted: 1 job continues at its provider and is billed"),
        (["running", "queued"], "Interrupted: 2 jobs continue at their providers and are billed"),
    ],
)
def test_interrupted_run_lists_active_jobs(states: list[str], expected: str) -> None:
    jobs = tuple(replace(JOB, account=state, state=state) for state in states)
    assert foreground.format_interruption(StatusSnapshot(run=None, jobs=jobs, counts={})).startswith(expected)


@pytest.mark.parametrize(
    ("runs", "active", "selected", "end"),
    [
        (("tone",), ("tone",), None, "To cancel it, first run `orchestrator cancel acme-0`."),
        (("tone",), ("tone", "tone"), None, "To cancel all jobs, first run `orchestrator cancel --all`."),
        (("tone",), ("tone", "tone"), "tone", "first run `orchestrator cancel --all --run tone`."),
        (("tone", "my facts"), ("my facts",), None, "first run `orchestrator cancel acme-0 --run 'my facts'`."),
        (
            ("tone", "facts"),
            ("tone", "facts", "tone"),
            None,
            "first run `orchestrator cancel --all --run tone` and `orchestrator cancel --all --run facts`.",
        ),
    ],
)
def test_interrupted_run_names_a_complete_cancel_command(
    runs: tuple[str, ...], active: tuple[str, ...], selected: str | None, end: str
) -> None:
    views = [run(id=f"id of {name}", name=name) for name in runs]
    jobs = tuple(
        replace(JOB, account=f"acme-{number}", state="running", run=f"id of {name}")
        for number, name in enumerate(active)
    )
    snapshot = StatusSnapshot(run=views[0], jobs=jobs, counts={}, other_runs=tuple(views[1:]))
    assert foreground.format_interruption(snapshot, run=selected).endswith(end)
