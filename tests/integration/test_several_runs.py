"""Several runs are current at the same time: plans are applied together, and operator actions choose one of them."""

from __future__ import annotations

import pytest
from run_values import a_plan, apply
from store_values import NOW

from orchestrator import control
from orchestrator.core.errors import ConfigError
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts as account_queries
from orchestrator.store.queries import jobs, outcomes, runs


async def list_current(database: Database) -> list[str]:
    async with database.read() as connection:
        return [run.name for run in await runs.list_current(connection)]


async def list_jobs(database: Database, run: RunId) -> list[Job]:
    async with database.read() as connection:
        return await jobs.list_by_run(connection, run)


async def test_plans_are_applied_together_and_exactly_they_are_current(database: Database) -> None:
    tone, facts, style = a_plan("tone", 1), a_plan("facts", 2, priority=5), a_plan("style", 3, ["a"])
    for _ in range(2):  # the file is read again: nothing is created twice
        await apply(database, tone, facts, style)
        assert (await list_current(database))[0] == "facts"
        assert sorted(await list_current(database)) == ["facts", "style", "tone"]
        for plan, count in ((tone, 2), (facts, 2), (style, 1)):
            assert len(await list_jobs(database, plan.run_id)) == count
    await apply(database, tone, facts)
    assert sorted(await list_current(database)) == ["facts", "tone"]


async def test_run_whose_dataset_was_refused_stays_as_it_is(database: Database) -> None:
    tone, facts = a_plan("tone", 1), a_plan("facts", 2)
    await apply(database, tone, facts)
    before = await list_jobs(database, facts.run_id)
    await apply(database, a_plan("tone", 4), unchanged=["facts"])
    assert sorted(await list_current(database)) == ["facts", "tone"]
    assert await list_jobs(database, facts.run_id) == before
    async with database.read() as connection:
        assert not (await runs.get(connection, tone.run_id)).current


async def test_gate_of_a_run_whose_dataset_was_refused_is_applied(database: Database) -> None:
    """Its models exist, and exports must not hold what the accounts file forbids."""
    tone, facts = a_plan("tone", 1), a_plan("facts", 2)
    await apply(database, tone, facts)
    for gate in (True, False):
        await apply(database, tone, unchanged=["facts"], gates={"facts": gate, "tone": gate})
        async with database.read() as connection:
            assert (await runs.get(connection, facts.run_id)).gate is gate
    assert sorted(await list_current(database)) == ["facts", "tone"]


async def test_job_of_an_account_that_the_run_no_longer_selects_is_held(database: Database) -> None:
    tone, facts = a_plan("tone", 1), a_plan("facts", 2)
    await apply(database, tone, facts)
    await apply(database, a_plan("tone", 1, ["a"]), facts)
    [a] = await list_jobs(database, tone.run_id)
    assert (a.account, a.hold) == ("a", None)
    async with database.read() as connection:
        [b] = [job for job in await jobs.list_by_accounts(connection, ["b"]) if job.run_id == tone.run_id]
    assert b.hold is not None
    assert (b.hold.kind, b.wake_at) == (HoldKind.NOT_SELECTED, None)
    assert [job.hold for job in await list_jobs(database, facts.run_id)] == [None, None]
    async with database.read() as connection:
        assert (await account_queries.list_all(connection))["b"].removed_at is None
    await apply(database, tone, facts)
    assert [job.hold for job in await list_jobs(database, tone.run_id)] == [None, None]


async def test_job_that_is_being_submitted_is_held_when_its_account_is_deselected(database: Database) -> None:
    """It stays in the run and is due: its next step finds out whether it was created."""
    tone = a_plan("tone", 1)
    await apply(database, tone)
    [job] = [job for job in await list_jobs(database, tone.run_id) if job.account == "b"]
    waiting = replace(job, state=JobState.SUBMITTING, version=job.version + 1, wake_at=NOW + 3600)
    outcome = Outcome(job=waiting, previous_state=job.state, label=None)
    assert await database.write(lambda tx: outcomes.record(tx, outcome, at=NOW, cause="service"))
    await apply(database, a_plan("tone", 1, ["a"]))
    [b] = [job for job in await list_jobs(database, tone.run_id) if job.account == "b"]
    assert (b.is_deselected, b.wake_at) == (True, NOW)
    await apply(database, tone)
    [b] = [job for job in await list_jobs(database, tone.run_id) if job.account == "b"]
    assert (b.hold, b.state) == (None, JobState.SUBMITTING)


async def test_account_is_removed_only_when_the_file_no_longer_lists_it(database: Database) -> None:
    await apply(database, a_plan("tone", 1, ["a"]), a_plan("facts", 2, ["a"]))
    async with database.read() as connection:
        assert (await account_queries.list_all(connection))["b"].removed_at is None, "it is in no run, but listed"
    await apply(database, a_plan("tone", 1, ["a"]), accounts=["a"])
    async with database.read() as connection:
        assert (await account_queries.list_all(connection))["b"].removed_at == NOW


async def test_action_on_one_of_several_runs_needs_its_name(database: Database) -> None:
    tone, facts = a_plan("tone", 1), a_plan("facts", 2)
    held = replace(facts, hold=Hold(HoldKind.RUN_TOO_EXPENSIVE, "too expensive", "Approve it."))
    await apply(database, tone, held)
    with pytest.raises(ConfigError, match="describes 2 runs") as caught:
        await control.approve(database, by="me", now=NOW)
    assert "--run NAME" in caught.value.hint
    assert "facts, tone" in caught.value.hint
    with pytest.raises(ConfigError, match='no current run "fact"; did you mean "facts"'):
        await control.cancel(database, None, by="me", now=NOW, run_name="fact")
    assert (await control.approve(database, by="me", now=NOW, run_name="facts")).hold is None
    await control.cancel(database, None, by="me", now=NOW, run_name="tone")
    assert [job.cancel_asked for job in await list_jobs(database, tone.run_id)] == [True, True]
    assert [job.cancel_asked for job in await list_jobs(database, facts.run_id)] == [False, False]
    assert {job.state for job in await list_jobs(database, facts.run_id)} == {JobState.PLANNED}
    assert sorted(await control.hold_accounts(database, None, reason="x", by="me", now=NOW)) == ["a", "b"]


async def test_same_work_in_two_runs_is_refused_and_changes_nothing(database: Database) -> None:
    tone = a_plan("tone", 1)
    await apply(database, tone)
    copies = [a_plan("copy", 1), replace(a_plan("copy", 1, ["b"]), run_id=RunId("other")), a_plan("copy", 1, ["c"])]
    for copy, where in zip(copies, ["in account a", "in account b", "same work: the same chats"], strict=True):
        with pytest.raises(ConfigError, match=f"the runs tone and copy describe the {where}|the same work {where}"):
            await apply(database, tone, copy)
        assert await list_current(database) == ["tone"]
        assert len(await list_jobs(database, tone.run_id)) == 2
