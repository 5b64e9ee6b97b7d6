"""Actions and views of one of several current runs, on the command line and in the API."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from api_values import OPERATOR, serve
from run_values import a_plan, apply
from store_values import NOW

from orchestrator import control, status
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.foreground import print_changes
from orchestrator.cli.handlers.operate import run_account_action, run_operator_action
from orchestrator.cli.handlers.status import print_run_status
from orchestrator.control.operator import ActionTarget
from orchestrator.core.errors import ConfigError
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs, runs

TONE = a_plan("tone", 1)
FACTS = replace(a_plan("facts", 2, priority=5), hold=Hold(HoldKind.RUN_TOO_EXPENSIVE, "too dear", "Approve it."))


@pytest.fixture
async def two_runs(database: Database) -> Database:
    await apply(database, TONE, FACTS)
    return database


def app_with(database: Database) -> Any:
    async def read_status(run: str | None = None) -> status.StatusSnapshot:
        return await status.get_status(database, NOW, run_name=run)

    clock = SimpleNamespace(now=lambda: NOW)
    return cast(Any, SimpleNamespace(database=database, clock=clock, read_status=read_status, is_empty=False))


async def list_cancelled(database: Database, run: RunId) -> list[bool]:
    async with database.read() as connection:
        return [job.cancel_asked for job in await jobs.list_by_run(connection, run)]


async def test_command_acts_on_the_named_run_only(two_runs: Database, capsys: pytest.CaptureFixture[str]) -> None:
    app = app_with(two_runs)
    with pytest.raises(ConfigError, match="describes 2 runs"):
        await run_account_action(app, OperatorAction.CANCEL, None)
    assert await run_account_action(app, OperatorAction.CANCEL, None, run="tone") is ExitCode.DONE
    assert await list_cancelled(two_runs, TONE.run_id) == [True, True]
    assert await list_cancelled(two_runs, FACTS.run_id) == [False, False]
    assert await run_operator_action(app, OperatorAction.APPROVE, ActionTarget(run="facts")) is ExitCode.DONE
    assert f"run facts ({FACTS.run_id})" in capsys.readouterr().out


async def test_filter_of_an_action_selects_jobs_of_the_named_run(two_runs: Database) -> None:
    await run_account_action(
        app_with(two_runs), OperatorAction.CANCEL, ["a"], job_filter=JobFilter(provider="openai"), run="facts"
    )
    assert await list_cancelled(two_runs, FACTS.run_id) == [True, False]
    assert await list_cancelled(two_runs, TONE.run_id) == [False, False]


async def test_api_action_takes_the_run_by_name_or_id(two_runs: Database) -> None:
    served = await serve(two_runs)
    await apply(two_runs, TONE, FACTS)  # `serve` has a run of its own
    async with served.client(OPERATOR) as client:
        refused = await client.post("/api/v1/actions/approve", json={})
        assert refused.status_code == 409
        assert "?run=NAME" in refused.json()["hint"]
        for run, code in (("nobody", 409), ("facts", 200)):
            assert (await client.post(f"/api/v1/actions/approve?run={run}", json={})).status_code == code
        body = {"all": True, "expect": 2}
        answer = await client.post(f"/api/v1/actions/cancel?run={TONE.run_id}", json=body)
        assert answer.json()["accounts"] == ["a", "b"]
        for run in ("facts", FACTS.run_id):
            page = (await client.get(f"/api/v1/jobs?run={run}")).json()
            assert {job["state"] for job in page["jobs"]} == {"planned"}
    async with two_runs.read() as connection:
        assert (await runs.get(connection, FACTS.run_id)).hold is None
    assert await list_cancelled(two_runs, FACTS.run_id) == [False, False]


async def test_status_shows_each_run_and_one_by_name(two_runs: Database, capsys: pytest.CaptureFixture[str]) -> None:
    app = app_with(two_runs)
    await control.cancel(two_runs, ["a"], by="me", now=NOW, run_name="tone")
    await print_run_status(app, JobFilter(), as_json=False, watch=False)
    both = capsys.readouterr().out
    assert both.index("facts · run") < both.index("tone · run"), "by priority"
    assert "Run facts is held: run_too_dear: too dear. Approve it." in both
    await print_run_status(app, JobFilter(), as_json=False, watch=False, run="tone")
    one = capsys.readouterr().out
    assert "tone · run" in one
    assert "facts" not in one


async def test_line_of_a_change_names_the_run(two_runs: Database, capsys: pytest.CaptureFixture[str]) -> None:
    app, stopping = app_with(two_runs), asyncio.Event()
    stopping.set()
    await print_changes(app.read_status, None, stopping)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["facts", "a", "held"],
        ["facts", "b", "held"],
        ["tone", "a", "planned"],
        ["tone", "b", "planned"],
    ]
