"""What is announced is written with what it tells of: both or neither."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from store_values import DATASET, NOW, RUN, SPEC, a_job, a_standing, fill, id_of, read_job, record, save_standing

from orchestrator import control
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.account_state import AccountHeld
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import JobId, RunId
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.transitions import advance, poll_again, sleep_until
from orchestrator.core.plans.plan import Plan, PlanLine, PlanStep
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import jobs, outcomes
from orchestrator.store.schema.tables import announcements

FAILURE = Failure("job_failed", "the data is bad", "mend it", "req-1")
REFUSED = Hold("authentication_failed", "401 who are you", "correct the key")


async def list_announcements(database: Database) -> list[dict[str, Any]]:
    async with database.read() as connection:
        rows = await connection.execute(select(announcements).order_by(announcements.c.at, announcements.c.topic))
        return [row.payload for row in rows]


async def list_topics(database: Database) -> list[str]:
    return [payload["type"] for payload in await list_announcements(database)]


async def finish_job(database: Database, account: str, event: JobEvent, at: float = NOW + 1, **changes: Any) -> None:
    outcome = advance(await read_job(database, account), event, now=at, **changes)
    assert await record(database, outcome, at=at)


async def test_model_announcement_has_every_known_value(database: Database) -> None:
    await fill(database, [a_job("acme", state=JobState.RUNNING), a_job("other", state=JobState.RUNNING)])
    await finish_job(database, "acme", JobEvent.REMOTE_SUCCEEDED, fine_tuned_model="ft:x", servable=True)
    assert await list_announcements(database) == [
        {
            "type": "model.ready",
            "timestamp": "1970-01-12T13:46:41+00:00",
            "data": {
                "run": RUN.id,
                "account": "acme",
                "provider": "openai",
                "job": a_job("acme").id,
                "state": "succeeded",
                "fine_tuned_model": "ft:x",
                "servable": True,
                "error": None,
            },
        }
    ]


async def test_a_run_finishes_with_its_last_open_job_and_again_after_a_retry(database: Database) -> None:
    await fill(database, [a_job("acme", state=JobState.RUNNING), a_job("other", state=JobState.RUNNING)])
    await finish_job(database, "acme", JobEvent.REMOTE_FAILED, failure=FAILURE)
    assert await list_topics(database) == ["job.failed"]
    await finish_job(database, "other", JobEvent.REMOTE_SUCCEEDED, NOW + 2, fine_tuned_model="ft:x")
    assert await list_topics(database) == ["job.failed", "model.ready", "run.finished"]
    finished = (await list_announcements(database))[-1]["data"]
    assert (finished["run"], finished["state"], finished["account"]) == (RUN.id, "failed", None)
    assert finished["error"]["message"] == "1 of 2 jobs have no model: 1 failed"

    await control.retry(database, ["acme"], by="someone", now=NOW + 3)
    assert len(await list_announcements(database)) == 3
    await finish_job(database, "acme", JobEvent.FAILED, NOW + 4, failure=FAILURE)
    assert (await list_topics(database))[3:] == ["job.failed", "run.finished"]


async def test_a_cancelled_job_is_no_failure_but_ends_its_run(database: Database) -> None:
    await fill(database, [a_job("acme", state=JobState.RUNNING)])
    await finish_job(database, "acme", JobEvent.REMOTE_CANCELLED)
    [finished] = await list_announcements(database)
    assert (finished["type"], finished["data"]["state"]) == ("run.finished", "cancelled")


async def test_job_of_a_removed_account_does_not_keep_the_run_open(database: Database) -> None:
    left, remote = a_job("left"), a_job("remote", state=JobState.RUNNING, remote_job_id="ftjob-1")
    await fill(database, [a_job("acme", state=JobState.RUNNING), left, remote])
    for name in ("left", "remote"):
        await save_standing(database, replace(a_standing(name), removed_at=NOW))
    await finish_job(database, "acme", JobEvent.REMOTE_SUCCEEDED, fine_tuned_model="ft:x")
    assert await list_topics(database) == ["model.ready"]
    await finish_job(database, "remote", JobEvent.REMOTE_SUCCEEDED, NOW + 2, fine_tuned_model="ft:y")
    assert (await list_topics(database))[1:] == ["model.ready", "run.finished"]


async def test_run_waits_for_the_job_that_is_being_submitted_in_a_removed_account(database: Database) -> None:
    """It may exist at the provider already, and be paid for."""
    late = a_job("late", state=JobState.SUBMITTING)
    await fill(database, [a_job("acme", state=JobState.RUNNING), late])
    await save_standing(database, replace(a_standing("late"), removed_at=NOW))
    await finish_job(database, "acme", JobEvent.REMOTE_SUCCEEDED, fine_tuned_model="ft:x")
    assert await list_topics(database) == ["model.ready"]
    await finish_job(database, "late", JobEvent.FAILED, NOW + 2, failure=FAILURE)
    assert (await list_topics(database))[1:] == ["job.failed", "run.finished"]


async def test_end_of_a_job_that_was_never_to_start_does_not_end_the_run_again(database: Database) -> None:
    await fill(database, [a_job("acme", state=JobState.RUNNING), a_job("left"), a_job("sent")])
    await adopt(database, a_plan("acme", "left", "sent"))
    await select_accounts(database, a_plan("acme", "left"))
    await save_standing(database, replace(a_standing("left"), removed_at=NOW))
    await finish_job(database, "acme", JobEvent.REMOTE_SUCCEEDED, fine_tuned_model="ft:x")
    assert await list_topics(database) == ["model.ready", "run.finished"]
    for name in ("left", "sent"):
        await finish_job(database, name, JobEvent.FAILED, NOW + 2, failure=FAILURE)
    assert (await list_topics(database))[2:] == ["job.failed", "job.failed"]


def a_plan(*names: str, run: RunId = RUN.id) -> Plan:
    def line(name: str) -> PlanLine:
        return PlanLine(
            account=name,
            provider=ProviderName.OPENAI,
            base_model=SPEC.base_model,
            job_id=id_of(name),
            step=PlanStep.IN_PROGRESS,
            usd=None,
        )

    return Plan(
        run_id=run, name=RUN.name, dataset=DATASET, specs=RUN.specs, lines=tuple(line(name) for name in names)
    )


async def adopt(database: Database, plan: Plan) -> None:
    listed = [
        control.ListedAccount(Account(name=line.account, provider=line.provider, api_key="env:KEY"), "12345678")
        for line in plan.lines
    ]
    await control.sync_accounts(database, listed, now=NOW)
    await control.apply_plan(database, plan, start=True, now=NOW, cause="service")


@pytest.mark.parametrize("run", [RUN.id, RunId("run-2")], ids=["the same run", "a run without that provider"])
async def test_run_finishes_when_its_last_open_account_is_removed(database: Database, run: RunId) -> None:
    done = a_job("acme", state=JobState.SUCCEEDED, fine_tuned_model="ft:x", wake_at=None)
    await fill(database, [done, a_job("left")])
    await adopt(database, a_plan("acme", "left"))
    assert await list_announcements(database) == []
    for _ in range(2):  # the file is read again and again, the end is told once
        await adopt(database, a_plan("acme", run=run))
    [finished] = await list_announcements(database)
    assert (finished["type"], finished["data"]["run"], finished["data"]["state"]) == (
        "run.finished",
        run,
        "succeeded",
    )


@pytest.mark.parametrize("run", [RUN.id, RunId("run-2")], ids=["the same run", "a run without that provider"])
async def test_run_finishes_when_it_no_longer_selects_its_last_open_account(database: Database, run: RunId) -> None:
    done = a_job("acme", state=JobState.SUCCEEDED, fine_tuned_model="ft:x", wake_at=None)
    await fill(database, [done, a_job("left")])
    await adopt(database, a_plan("acme", "left"))
    for _ in range(2):
        await select_accounts(database, a_plan("acme", run=run))
    assert [(each["type"], each["data"]["run"]) for each in await list_announcements(database)] == [
        ("run.finished", run)
    ]
    await select_accounts(database, a_plan("acme", "left"))
    await finish_job(database, "left", JobEvent.FAILED, NOW + 2, failure=FAILURE)
    assert (await list_topics(database))[1:] == ["job.failed", "run.finished"], "it belongs to the run again"


async def test_run_finishes_with_its_last_job_after_an_account_was_deselected(database: Database) -> None:
    sent = a_job("sent", state=JobState.RUNNING, remote_job_id="ftjob-1")
    await fill(database, [sent, a_job("left")])
    await adopt(database, a_plan("sent", "left"))
    await select_accounts(database, a_plan("sent"))
    assert await list_announcements(database) == []
    await finish_job(database, "sent", JobEvent.REMOTE_SUCCEEDED, fine_tuned_model="ft:y")
    assert await list_topics(database) == ["model.ready", "run.finished"]


async def select_accounts(database: Database, plan: Plan) -> None:
    """Apply a plan of a file that lists the accounts `acme`, `sent` and `left`, whichever the run selects."""
    checked = control.CheckedPlan(plan=plan)
    await control.apply_plans(
        database, [checked], accounts=["acme", "sent", "left"], start=True, now=NOW, cause="service"
    )


async def test_run_does_not_finish_while_another_account_is_open(database: Database) -> None:
    done = a_job("acme", state=JobState.SUCCEEDED, fine_tuned_model="ft:x", wake_at=None)
    sent = a_job("sent", state=JobState.RUNNING, remote_job_id="ftjob-1")
    await fill(database, [done, a_job("left"), sent])
    await adopt(database, a_plan("acme", "sent", "new"))  # the new one takes the place of the one that left
    await adopt(database, a_plan("acme", "sent"))
    await adopt(database, a_plan("acme"))
    assert await list_announcements(database) == []  # what the provider has goes on
    await finish_job(database, "sent", JobEvent.REMOTE_SUCCEEDED, fine_tuned_model="ft:y")
    assert await list_topics(database) == ["model.ready", "run.finished"]


async def test_removed_account_of_a_finished_run_announces_nothing(database: Database) -> None:
    done = {"state": JobState.SUCCEEDED, "fine_tuned_model": "ft:x", "wake_at": None}
    await fill(database, [a_job("acme", **done), a_job("other", **done)])
    await adopt(database, a_plan("acme"))
    assert await list_announcements(database) == []


async def test_announcement_names_the_current_run_of_the_job(database: Database) -> None:
    await fill(database, [a_job("acme", state=JobState.RUNNING)])
    outcome = advance(await read_job(database, "acme"), JobEvent.REMOTE_CANCELLED, now=NOW)
    await fill(database, [a_job("acme"), a_job("more")], run=replace(RUN, id=RunId("run-2")))
    assert await record(database, outcome)
    assert await list_announcements(database) == []


async def test_stale_or_rolled_back_outcome_announces_nothing(database: Database) -> None:
    await fill(database, [a_job("acme", state=JobState.RUNNING)])
    before = await read_job(database, "acme")
    late = advance(before, JobEvent.REMOTE_SUCCEEDED, now=NOW, fine_tuned_model="ft:x")
    assert await record(database, poll_again(before, NOW + 9))
    assert not await record(database, late)

    async def broken(tx: Transaction) -> None:
        last = advance(
            (await jobs.get_many(tx.connection, [before.id]))[before.id], JobEvent.REMOTE_CANCELLED, now=NOW
        )
        assert await outcomes.record(tx, last, at=NOW, cause="service")
        raise RuntimeError("the lights went out")

    with pytest.raises(RuntimeError, match="lights"):
        await database.write(broken)
    assert (await read_job(database, "acme")).state is JobState.RUNNING
    assert await list_announcements(database) == []


async def test_account_hold_is_announced_once(database: Database) -> None:
    second = a_job("acme", id=JobId("second"))
    await fill(database, [a_job("acme"), second])
    for job in (await read_job(database, "acme"), second):
        outcome = replace(sleep_until(job, None), account_update=AccountHeld(REFUSED))
        assert await record(database, outcome)
    [held] = await list_announcements(database)
    assert (held["type"], held["data"]["account"], held["data"]["state"]) == ("account.held", "acme", "held")
    assert held["data"]["error"] == {
        "kind": "authentication_failed",
        "message": "401 who are you",
        "hint": "correct the key",
    }


async def test_a_hold_by_a_person_is_announced_too(database: Database) -> None:
    await fill(database, [a_job("acme")])
    for at in (NOW, NOW + 1):
        await control.hold_accounts(database, ["acme"], reason="a holiday", by="someone", now=at)
    assert [payload["data"]["error"]["message"] for payload in await list_announcements(database)] == ["a holiday"]
    await control.release_accounts(database, ["acme"], by="someone", now=NOW + 2)
    assert len(await list_announcements(database)) == 1
