"""Operator actions of the command line with `--all`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from store_values import NOW, RUN, a_job, a_standing, fill, read_job, save_standing

from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.operate import run_account_action
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database


def app_with(database: Database) -> Any:
    return cast(Any, SimpleNamespace(database=database, clock=SimpleNamespace(now=lambda: NOW)))


async def test_cancel_all_reaches_every_job_that_could_still_cost_money(database: Database) -> None:
    await fill(
        database, [a_job("acme"), a_job("removed", state=JobState.SUBMITTING), a_job("done", state=JobState.FAILED)]
    )
    await save_standing(database, a_standing("removed", removed_at=NOW))
    assert await run_account_action(app_with(database), OperatorAction.CANCEL, None) is ExitCode.DONE
    assert [(await read_job(database, name)).cancel_asked for name in ("acme", "removed", "done")] == [
        True,
        True,
        False,
    ]


async def test_cancel_all_can_be_repeated_until_the_jobs_have_ended(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await fill(database, [a_job("acme", state=JobState.CANCELLING, remote_job_id="ftjob-1", cancel_asked=True)])
    assert await run_account_action(app_with(database), OperatorAction.CANCEL, None) is ExitCode.DONE
    assert "Cancelling the jobs of acme." in capsys.readouterr().out


async def test_retry_says_that_it_is_more_than_its_run_may_cost(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = a_job("acme", state=JobState.FAILED, remote_job_id="ftjob-1", estimated_usd=6.0)
    await fill(database, [failed], replace(RUN, planned_usd=6.0, planned_limit_usd=10.0))
    assert await run_account_action(app_with(database), OperatorAction.RETRY, ["acme"]) is ExitCode.DONE
    assert "The run is held: with its retried jobs the run is estimated at $12.00" in capsys.readouterr().out
