"""Selections of more values than a statement may have: an accounts file lists up to 100,000 accounts."""

from __future__ import annotations

import pytest
from store_values import NOW, RUN, a_job, fill
from structlog.testing import capture_logs

from orchestrator import control, status
from orchestrator.control import DeploymentTarget
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs, notifications
from orchestrator.store.queries.deployments import deployment_requests, deployment_search

MANY = 40_000  # PostgreSQL's driver refuses more than 32,767 values
NAMES = tuple(f"a{number}" for number in range(MANY))


@pytest.fixture
async def filled(database: Database) -> Database:
    await fill(database, [a_job("a7"), a_job("b", state=JobState.FAILED, wake_at=None)])
    return database


async def test_action_selects_any_number_of_accounts(filled: Database) -> None:
    preview = await status.preview_action(filled, OperatorAction.CANCEL, JobFilter(accounts=NAMES), NOW)
    assert preview.accounts == ("a7",)
    target = DeploymentTarget(accounts=["a7"] * MANY)
    assert await control.undeploy(filled, target, by="me", now=NOW) == []


async def test_deliveries_are_selected_by_any_number_of_ids(filled: Database) -> None:
    ids = range(1, MANY)
    assert await status.count_failed_deliveries(filled, ids) == 0
    with pytest.raises(ConfigError, match=r"has the id 1, 2, 3, .* and 39,979 more"), capture_logs() as logged:
        await control.redeliver(filled, ids, by="me", now=NOW)
    assert logged == [], "no outage of the database"


async def test_accounts_file_may_list_any_number_of_accounts(filled: Database) -> None:
    """What `apply_plans` does with the accounts of the file, of a run, and with those that were removed."""
    async with filled.transaction() as tx:
        await deployment_requests.wake_price_holds(tx, NAMES, NOW)
        await notifications.publish_run_end_after_removal(tx, NAMES, RUN.id, RUN.id, NOW)
        await jobs.unlink_from_run(tx, RUN.id, [JobId(name) for name in NAMES])
    async with filled.read() as connection:
        assert [job.account for job in await jobs.list_by_accounts(connection, NAMES)] == ["a7"]
        assert await deployment_search.list_by_jobs(connection, [JobId(name) for name in NAMES]) == []
