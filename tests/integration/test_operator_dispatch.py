"""`control.perform`: each action reaches what its target names, and an empty selection reaches nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest
from store_values import NOW, a_job, fill, read_job

from orchestrator.control import ActionTarget, perform
from orchestrator.core.errors import ConfigError, NothingToDo
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.operator_action import ACCOUNT_ACTIONS, OperatorAction
from orchestrator.store.db.database import Database

STATES = {OperatorAction.RETRY: JobState.FAILED}


@pytest.mark.parametrize("action", ACCOUNT_ACTIONS)
async def test_action_reaches_the_selected_accounts(database: Database, action: OperatorAction) -> None:
    await fill(database, [a_job(name, state=STATES.get(action, JobState.PLANNED)) for name in ("acme", "globex")])
    for names, expected in ((("globex",), {"globex"}), ((), set()), (None, {"acme", "globex"})):
        result = await perform(database, action, ActionTarget(accounts=names), actor="me", now=NOW)
        if names is None and action in {OperatorAction.RETRY}:
            expected = {"acme"}  # globex is no longer failed
        assert set(result.accounts) == expected
        assert result.is_empty is (not expected)


@pytest.mark.parametrize("action", OperatorAction)
async def test_action_without_a_target_changes_no_job(database: Database, action: OperatorAction) -> None:
    await fill(database, [a_job("acme", state=JobState.FAILED)])
    before = await read_job(database, "acme")
    with suppress(ConfigError, NothingToDo):
        result = await perform(database, action, ActionTarget(), actor="me", now=NOW, reason="a test")
        assert (result.accounts, result.deliveries, result.job) == ((), (), None)
    assert await read_job(database, "acme") == before


async def test_waiver_without_a_reason_is_rejected(database: Database) -> None:
    await fill(database, [a_job("acme")])
    with pytest.raises(ConfigError, match="reason"):
        await perform(database, OperatorAction.WAIVE, ActionTarget(), actor="me", now=NOW)
