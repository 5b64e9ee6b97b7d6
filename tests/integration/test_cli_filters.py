"""The filters of `status` and `retry` select jobs; a filter that matches nothing changes nothing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from store_values import NOW, a_job, a_standing, fill, read_job, save_standing

from orchestrator import status
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers.operate import run_account_action
from orchestrator.cli.handlers.status import NO_MATCH_MESSAGE, print_run_status, read_matching_status
from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.store.db.database import Database


def app_with(database: Database) -> Any:
    async def read_status(_run: str | None = None) -> status.StatusSnapshot:
        return await status.get_status(database, NOW)

    clock = SimpleNamespace(now=lambda: NOW)
    return cast(Any, SimpleNamespace(database=database, clock=clock, read_status=read_status, is_empty=False))


async def fill_three_jobs(database: Database) -> Any:
    await fill(
        database,
        [
            a_job("acme", state=JobState.FAILED),
            replace(a_job("blue", state=JobState.FAILED), provider=ProviderName.NEBIUS),
            a_job("cyan"),
        ],
    )
    await save_standing(database, a_standing("acme", labels=("eu",)))
    return app_with(database)


@pytest.mark.parametrize(
    ("job_filter", "accounts"),
    [
        (JobFilter(), ["acme", "blue", "cyan"]),
        (JobFilter(state="failed"), ["acme", "blue"]),
        (JobFilter(state="failed", provider="nebius"), ["blue"]),
        (JobFilter(label="eu"), ["acme"]),
        (JobFilter(accounts=("cyan", "acme")), ["acme", "cyan"]),
        (JobFilter(held=True), []),
    ],
)
async def test_status_has_the_matching_jobs_and_counts_only_them(
    database: Database, job_filter: JobFilter, accounts: list[str]
) -> None:
    snapshot = await read_matching_status(await fill_three_jobs(database), job_filter)
    assert sorted(job.account for job in snapshot.jobs) == accounts
    assert sum(snapshot.counts.values()) == len(accounts)


async def test_status_reports_that_no_job_matches(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    app = await fill_three_jobs(database)
    await print_run_status(app, JobFilter(label="moon"), as_json=False, watch=False)
    assert NO_MATCH_MESSAGE in capsys.readouterr().out


async def test_retry_with_a_filter_reaches_only_the_matching_jobs(database: Database) -> None:
    app = await fill_three_jobs(database)
    result = await run_account_action(app, OperatorAction.RETRY, None, job_filter=JobFilter(provider="nebius"))
    assert result is ExitCode.DONE
    states = [(await read_job(database, name)).state for name in ("acme", "blue")]
    assert states == [JobState.FAILED, JobState.PLANNED]


@pytest.mark.parametrize("names", [None, ["acme", "blue"]])
async def test_retry_with_a_filter_that_matches_nothing_changes_nothing(
    database: Database, names: list[str] | None
) -> None:
    app = await fill_three_jobs(database)
    result = await run_account_action(app, OperatorAction.RETRY, names, job_filter=JobFilter(label="moon"))
    assert result is ExitCode.FAILED
    states = {(await read_job(database, name)).state for name in ("acme", "blue")}
    assert states == {JobState.FAILED}
