"""What a person says while the service is still busy with the plan is not written over by it."""

from __future__ import annotations

import pytest
from store_values import DATASET, NOW, RUN, SPEC, id_of, read_job, record

from orchestrator import control
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import Failure, NothingToDo
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.remote_state import REMOTE_MISSING_KIND
from orchestrator.core.jobs.run import Run
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.core.moderation import Moderation, ModerationStatus
from orchestrator.core.plans.plan import Plan, PlanLine, PlanStep
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries import events, runs

MISSING = Moderation(state=ModerationStatus.MISSING, by="service", at=NOW)


def a_plan(kind: HoldKind, usd: float | None) -> Plan:
    line = PlanLine(
        account="acme",
        provider=ProviderName.OPENAI,
        base_model=SPEC.base_model,
        job_id=id_of("acme"),
        step=PlanStep.NEW,
        usd=usd,
    )
    hold = Hold(kind, "a reason", "a hint")
    return Plan(
        run_id=RUN.id, name=RUN.name, dataset=DATASET, specs=RUN.specs, lines=(line,), hold=hold, moderation=MISSING
    )


@pytest.fixture
async def listed(database: Database) -> Database:
    account = Account(name="acme", provider=ProviderName.OPENAI, api_key="env:KEY")
    await control.sync_accounts(database, [control.ListedAccount(account, "12345678")], now=NOW)
    return database


@pytest.mark.parametrize(
    ("kind", "usd"), [(HoldKind.RUN_TOO_EXPENSIVE, 5.0), (HoldKind.PRICE_UNKNOWN, None), (HoldKind.RETIRES_SOON, 5.0)]
)
async def test_approval_during_planning_is_kept(listed: Database, kind: HoldKind, usd: float | None) -> None:
    plan = a_plan(kind, usd)
    assert (await control.apply_plan(listed, plan, start=True, now=NOW, cause="service")).hold == plan.hold
    await control.approve(listed, by="me", now=NOW + 1)  # the service is asking the moderation meanwhile
    run = await control.apply_plan(listed, plan, start=True, now=NOW + 2, cause="service")
    assert (run.hold, run.approved_by) == (None, "me")


async def test_approval_covers_no_higher_price(listed: Database) -> None:
    await control.apply_plan(listed, a_plan(HoldKind.RUN_TOO_EXPENSIVE, 5.0), start=True, now=NOW, cause="service")
    await control.approve(listed, by="me", now=NOW + 1)
    dearer = a_plan(HoldKind.RUN_TOO_EXPENSIVE, 5.01)
    assert (await control.apply_plan(listed, dearer, start=True, now=NOW + 2, cause="service")).hold == dearer.hold


async def test_history_names_what_each_approval_was_about(listed: Database) -> None:
    """The run keeps the latest approval only."""
    for number, reason in enumerate(["estimated at $5.00", "estimated at $9.00"]):
        plan = a_plan(HoldKind.RUN_TOO_EXPENSIVE, 5.0 + 4 * number)
        held = replace(plan, hold=Hold(HoldKind.RUN_TOO_EXPENSIVE, reason, "a hint"))
        await control.apply_plan(listed, held, start=True, now=NOW + number, cause="service")
        await control.approve(listed, by=f"operator:{number}", now=NOW + number)
    async with listed.read() as connection:
        entries = await events.list_after(connection, 0, limit=99, run=RUN.id)
    assert [(entry.cause, entry.message) for entry in entries if entry.note == "approved"] == [
        ("operator:0", "estimated at $5.00"),
        ("operator:1", "estimated at $9.00"),
    ]


async def test_waiver_during_planning_is_kept(listed: Database) -> None:
    plan = replace(a_plan(HoldKind.RUN_TOO_EXPENSIVE, 5.0), hold=None)
    await control.apply_plan(listed, plan, start=True, now=NOW, cause="service")
    await control.waive_moderation(listed, reason="ticket 7", by="me", now=NOW + 1)
    run = await control.apply_plan(listed, plan, start=True, now=NOW + 2, cause="service")
    assert run.moderation is not None
    assert (run.moderation.state, run.moderation.reason) == (ModerationStatus.WAIVED, "ticket 7")
    passed = replace(plan, moderation=Moderation(state=ModerationStatus.PASSED, by="acme", at=NOW + 3, texts=129))
    run = await control.apply_plan(listed, passed, start=True, now=NOW + 3, cause="service")
    assert run.moderation == passed.moderation
    with pytest.raises(NothingToDo, match=r"nothing to waive: the chats of run .* passed moderation \(129 texts\)"):
        await control.waive_moderation(listed, reason="ticket 8", by="me", now=NOW + 4)


async def test_approve_is_refused_without_a_price_hold(listed: Database) -> None:
    plan = a_plan(HoldKind.RUN_TOO_EXPENSIVE, 5.0)
    await control.apply_plan(listed, replace(plan, hold=None), start=True, now=NOW, cause="service")
    with pytest.raises(NothingToDo, match="is held for another reason: the chats were not moderated"):
        await control.approve(listed, by="me", now=NOW + 1)
    passed = Moderation(state=ModerationStatus.PASSED, by="acme", at=NOW)
    await control.apply_plan(listed, replace(plan, moderation=passed), start=True, now=NOW + 2, cause="service")
    await control.approve(listed, by="me", now=NOW + 3)
    with pytest.raises(NothingToDo, match="is not held; it was approved by me"):
        await control.approve(listed, by="you", now=NOW + 4)


async def fail_and_retry(database: Database, failure: Failure) -> Run:
    """Let the job fail after its create, and retry it: 10 USD are more than the 9 USD that the run may cost."""
    plan = replace(a_plan(HoldKind.RUN_TOO_EXPENSIVE, 5.0), hold=None, limit_usd=9.0)
    await control.apply_plan(database, plan, start=True, now=NOW, cause="service")
    job = await read_job(database, "acme")
    failed = replace(job, version=job.version + 1, state=JobState.FAILED, remote_job_id="ftjob-1", failure=failure)
    assert await record(database, Outcome(job=failed, previous_state=JobState.RUNNING, label=None))
    assert [each.account for each in await control.retry(database, None, by="me", now=NOW + 1)] == ["acme"]
    async with database.read() as connection:
        return await runs.get(connection, RUN.id)


async def test_retry_above_the_limit_of_its_run_is_held_until_it_is_approved(listed: Database) -> None:
    run = await fail_and_retry(listed, Failure("job_failed", "The training failed.", "Retry it."))
    assert run.hold is not None
    assert (run.hold.kind, run.planned_usd) == (HoldKind.RUN_TOO_EXPENSIVE, 10.0)
    assert "estimated at $10.00, more than the $9.00" in run.hold.reason
    approved = await control.approve(listed, by="me", now=NOW + 2)
    assert (approved.hold, approved.approved_usd) == (None, 10.0)


async def test_retry_that_searches_for_the_remote_job_adds_no_price(listed: Database) -> None:
    """A hold would keep the remote job, which is paid for, from being followed."""
    run = await fail_and_retry(listed, Failure(REMOTE_MISSING_KIND, "It is not listed.", "Retry it."))
    assert (run.hold, run.planned_usd) == (None, 5.0)


async def test_job_estimate_follows_the_plan_until_submission(listed: Database) -> None:
    for usd, submitted in ((5.0, False), (6.0, True), (7.0, False)):
        await control.apply_plan(
            listed, a_plan(HoldKind.RUN_TOO_EXPENSIVE, usd), start=True, now=NOW, cause="service"
        )
        if submitted:
            job = await read_job(listed, "acme")
            sent = replace(job, version=job.version + 1, state=JobState.QUEUED)
            assert await record(listed, Outcome(job=sent, previous_state=JobState.PLANNED, label=None))
    assert (await read_job(listed, "acme")).estimated_usd == 6.0
