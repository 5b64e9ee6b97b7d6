"""`logs` prints the events of one account and of its runs, on a terminal and in a pipe, and follows new ones."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest
from store_values import NOW, RUN, a_job, fill, id_of

from orchestrator.app.wiring import App
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers import logs
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.job import RunId
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData

REMOTE_ID = "ftjob-" + "0123456789" * 8  # longer than a terminal of 80 columns is wide
OTHER_RUN = replace(RUN, id=RunId("run-2"), name="tone")
PATIENCE_SECONDS = 60.0


def event(note: str, **changes: Any) -> EventData:
    values: dict[str, Any] = {"at": NOW, "cause": "service", "note": note, "account": "acme", "run_id": RUN.id}
    return EventData(**(values | changes))


EVENTS = (
    event("planned", job_id=id_of("acme"), state_after="planned"),
    event("approved", account=None, cause="operator:anna"),
    event("approved", account=None, run_id="run-0", message="a run without the account"),
    event("planned", account="blue", state_after="planned"),
    event("held", run_id=None, message="authentication: the key was refused. " * 4),
    event(
        "remote job created",
        job_id=id_of("acme"),
        state_before="submitting",
        state_after="queued",
        remote_job_id=REMOTE_ID,
        request_id="req_1",
    ),
    event("retried", run_id=OTHER_RUN.id, state_before="failed", state_after="ready", attempt=2),
)


async def add_events(database: Database, *events: EventData) -> None:
    async with database.transaction() as tx:
        tx.add_events(*events)


@pytest.fixture
async def app(database: Database) -> Any:
    await fill(database, [a_job("acme"), a_job("blue")])
    await fill(database, [], OTHER_RUN)
    await add_events(database, *EVENTS)
    app = SimpleNamespace(database=database, clock=SimpleNamespace(now=lambda: NOW))
    app.get_account_states = lambda: App.get_account_states(cast(Any, app))
    app.check_account = lambda name: App.check_account(cast(Any, app), name)
    return app


async def print_events(app: Any, account: str = "acme", **changes: Any) -> ExitCode:
    options: dict[str, Any] = {"follow": False, "run": "", "limit": 1000, "as_json": False}
    return await logs.print_account_events(app, account, **(options | changes))


async def test_a_pipe_gets_one_line_for_each_event_of_the_account_and_its_runs(
    app: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await print_events(app) is ExitCode.DONE
    lines = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    run, other = "run support (run-1)", "run tone (run-2)"
    assert lines == [
        f"planned               planned  {run}",
        f"approved  {run}  by operator:anna",
        "held  " + ("authentication: the key was refused. " * 4).strip(),
        f"remote job created    submitting → queued  {run}  remote job {REMOTE_ID}  request req_1",
        f"retried               failed → ready  {other}  attempt 2",
    ]


async def test_a_terminal_gets_lines_that_fit_and_uncut_ids(
    app: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    await print_events(app)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == [f"    remote job {REMOTE_ID}"]
    assert sum("run support" in line for line in lines) == 2  # where the run changes only
    assert len(lines) > 10


async def test_json_is_one_object_for_each_event(app: Any, capsys: pytest.CaptureFixture[str]) -> None:
    await print_events(app, as_json=True)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["note"] for each in events] == ["planned", "approved", "held", "remote job created", "retried"]
    assert events[3]["remote_job_id"] == REMOTE_ID
    assert events[3]["run_name"] == "support"
    assert events[3]["state"] == "queued"


@pytest.mark.parametrize("run", ["tone", "run-2"])
async def test_a_run_selects_its_events_and_those_of_the_account(
    app: Any, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await print_events(app, run=run, as_json=True)
    assert [json.loads(line)["note"] for line in capsys.readouterr().out.splitlines()] == ["held", "retried"]


async def test_the_newest_events_are_kept_when_lines_are_limited(
    app: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await print_events(app, limit=2, as_json=True)
    notes = [json.loads(line)["note"] for line in capsys.readouterr().out.splitlines()]
    assert notes == ["remote job created", "retried"]


async def test_unknown_names_are_errors_that_list_the_known_ones(app: Any) -> None:
    with pytest.raises(ConfigError, match="no account is named acmee; did you mean") as account_error:
        await print_events(app, "acmee")
    assert "acme, blue" in account_error.value.hint
    with pytest.raises(ConfigError, match="no run is named moon") as run_error:
        await print_events(app, run="moon")
    assert "support, tone" in run_error.value.hint


async def test_an_account_without_events_is_no_error(
    database: Database, app: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(database, [a_job("cyan")], replace(RUN, id=RunId("run-3")))
    assert await print_events(app, "cyan") is ExitCode.DONE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert logs.NO_EVENTS_MESSAGE in printed.err


async def test_control_characters_of_a_provider_are_not_printed(
    database: Database, app: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_events(database, event("warning", message="a\x1b[2Jb\nplanned"))
    for width in (80, None):
        monkeypatch.setattr(sys.stdout, "isatty", lambda width=width: width is not None)
        await print_events(app, limit=1)
        assert "\x1b" not in capsys.readouterr().out


async def test_follow_prints_each_new_event_once_until_a_signal(
    database: Database, app: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FOLLOW_SECONDS", 0.01)
    following = asyncio.create_task(print_events(app, follow=True, limit=1, as_json=True))
    printed = ""
    for note in ("retried", "submitted", "finished"):
        if note != "retried":
            await add_events(database, event(note), event(note, account="blue"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while f'"{note}"' not in printed:
                await asyncio.sleep(0.01)
                printed += capsys.readouterr().out
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(following, PATIENCE_SECONDS) is ExitCode.DONE
    printed += capsys.readouterr().out
    assert [json.loads(line)["note"] for line in printed.splitlines()] == ["retried", "submitted", "finished"]
