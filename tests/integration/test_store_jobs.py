from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select
from store_values import NOW, RUN, a_job, a_standing, fill, id_of, read_job, record

from orchestrator import control
from orchestrator.core.account_state import AccountVerified
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import JobId, RunId
from orchestrator.core.jobs.lifecycle import AT_PROVIDER_STATES, TERMINAL_STATES, TRANSITIONS, JobEvent, JobState
from orchestrator.core.jobs.transitions import (
    Outcome,
    advance,
    hold_job,
    poll_again,
    request_cancel,
    retry_later,
    sleep_until,
)
from orchestrator.core.plans.budget import CommittedSpend
from orchestrator.core.structs import replace
from orchestrator.status import find_run_overview
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import accounts, costs, events, jobs, outcomes
from orchestrator.store.schema.tables import jobs as table
from orchestrator.store.schema.tables import run_jobs

FAILURE = Failure("rate_limited", "slow down", "wait", "req-1")
OPERATOR_HOLD = Hold("by_operator", "someone said so", "release it")


async def history(database: Database, account: str) -> list[str]:
    async with database.read() as connection:
        return [entry.note for entry in await events.list_by_account(connection, account)]


async def wakes(database: Database) -> dict[str, float | None]:
    async with database.read() as connection:
        rows = await connection.execute(select(table.c.account, table.c.wake_at))
    return {row.account: row.wake_at for row in rows}


async def test_every_field_comes_back(database: Database) -> None:
    job = a_job(
        "acme",
        state=JobState.RUNNING,
        version=9,
        round=2,
        attempts=3,
        intent_until=NOW + 0.123456,
        cancel_asked=True,
        hold=replace(OPERATOR_HOLD, until=NOW + 1),
        failure=FAILURE,
        remote_file_id="file-1",
        remote_validation_file_id="file-2",
        remote_job_id="ftjob-1",
        remote_status="running",
        fine_tuned_model="ft:x",
        servable=False,
        estimated_usd=1.25,
        trained_tokens=5_000_000_000,
        estimated_finish=NOW + 60,
        hyperparameters={"n_epochs": 3, "batch_size": "auto", "learning_rate_multiplier": 0.5},
        submitted_at=NOW - 5,
        finished_at=NOW - 1,
    )
    await fill(database, [job])
    assert await read_job(database, "acme") == job


async def test_unknown_job_is_none(database: Database) -> None:
    async with database.read() as connection:
        assert await jobs.load(connection, JobId("nobody")) is None


async def test_loaded_job_includes_run_account_and_running_count(database: Database) -> None:
    others = [a_job("acme", id=JobId(f"j-{state}"), state=state) for state in JobState]
    await fill(database, [a_job("acme"), a_job("other", state=JobState.RUNNING), *others])
    async with database.read() as connection:
        loaded = await jobs.load(connection, id_of("acme"))
    assert loaded is not None
    assert (loaded.run, loaded.account_state) == (RUN, a_standing("acme"))
    assert loaded.used_slots == len(AT_PROVIDER_STATES)


class TestRecord:
    async def test_writes_the_job_and_its_history(self, database: Database) -> None:
        await fill(database, [a_job("acme")])
        outcome = advance(
            await read_job(database, "acme"), JobEvent.FAILED, now=NOW + 1, failure=FAILURE, request_id="req-1"
        )
        assert await record(database, outcome, at=NOW + 2)
        assert await read_job(database, "acme") == outcome.job
        async with database.read() as connection:
            [entry] = await events.list_by_account(connection, "acme")
        assert entry == EventData(
            at=NOW + 2,
            cause="service",
            note="gave up",
            account="acme",
            run_id=RUN.id,
            job_id=id_of("acme"),
            state_before="planned",
            state_after="failed",
            attempt=0,
            request_id="req-1",
            message="rate_limited: slow down",
        )

    async def test_a_stale_outcome_is_false_and_writes_nothing(self, database: Database) -> None:
        await fill(
            database, [a_job("acme", state=JobState.SUBMITTING), a_job("acme", id=JobId("w"), state=JobState.READY)]
        )
        before = await read_job(database, "acme")
        newer = request_cancel(before, now=NOW + 1)
        assert await record(database, newer, cause="someone")
        for late in (
            advance(before, JobEvent.REMOTE_CREATED, now=NOW + 9),
            advance(before, JobEvent.CANCELLED, now=NOW + 9),  # an end, which would wake others
            poll_again(before, NOW + 9),
        ):
            assert not await record(database, late, cause="late")
        assert await read_job(database, "acme") == newer.job
        assert await history(database, "acme") == ["cancel asked"]

    async def test_a_cancel_alone_does_not_make_an_attempts_outcome_stale(self, database: Database) -> None:
        before = a_job("acme", state=JobState.SUBMITTING, intent_until=NOW + 9)
        await fill(database, [before])
        outcome = advance(before, JobEvent.REMOTE_CREATED, now=NOW, remote_job_id="ftjob-1")

        async def again() -> Outcome | None:
            return await database.write(lambda tx: outcomes.record_rebased(tx, outcome, NOW + 1, "service"))

        assert await again() is None  # nothing came between: it is recorded in the ordinary way
        assert await record(database, request_cancel(before, now=NOW))
        recorded = await again()
        assert recorded is not None
        assert await read_job(database, "acme") == recorded.job
        assert (recorded.job.remote_job_id, recorded.job.cancel_asked) == ("ftjob-1", True)
        assert await history(database, "acme") == ["cancel asked", "remote job created"]
        assert await again() is None

    async def test_a_version_from_the_future_is_stale_too(self, database: Database) -> None:
        await fill(database, [a_job("acme")])
        ahead = poll_again(replace(await read_job(database, "acme"), version=5), NOW)
        assert not await record(database, ahead)

    async def test_only_one_of_two_with_the_same_version_wins(self, database: Database) -> None:
        await fill(database, [a_job("acme")])
        before = await read_job(database, "acme")
        one, other = advance(before, JobEvent.UPLOAD_STARTED, now=NOW), advance(before, JobEvent.CANCELLED, now=NOW)

        async def both(tx: Transaction) -> list[bool]:
            return [await outcomes.record(tx, outcome, at=NOW, cause="x") for outcome in (one, other)]

        assert await database.write(both) == [True, False]
        assert (await read_job(database, "acme")).state is JobState.UPLOADING

    async def test_batch_of_outcomes_returns_whether_each_was_recorded(self, database: Database) -> None:
        await fill(database, [a_job(name) for name in ("acme", "late", "verified")])
        acme, late, verified = [await read_job(database, name) for name in ("acme", "late", "verified")]
        assert await record(database, request_cancel(late, now=NOW))
        one = advance(acme, JobEvent.UPLOAD_STARTED, now=NOW, wake_at=NOW + 9)
        known = replace(poll_again(verified, NOW), account_update=AccountVerified("org-1", None, NOW))
        steps = [(one, NOW), (poll_again(acme, NOW), NOW), (poll_again(late, NOW + 9), NOW), (known, NOW + 1)]

        async def all_of_them(tx: Transaction) -> list[bool]:
            ids = [outcome.job.id for outcome, _ in steps]
            facts = await jobs.get_record_facts(tx.connection, ids, counted=ids)
            return await outcomes.record_many(tx, steps, cause="service", facts=facts)

        assert await database.write(all_of_them) == [True, False, False, True]
        assert [await read_job(database, name) for name in ("acme", "verified")] == [one.job, known.job]
        assert (await read_job(database, "late")).cancel_asked
        assert await history(database, "acme") == ["upload started"]
        async with database.read() as connection:
            standings = await accounts.list_all(connection)
        assert {name: standing.organization for name, standing in standings.items()} == {
            "acme": None,
            "late": None,
            "verified": "org-1",
        }

    async def test_waiting_writes_no_event(self, database: Database) -> None:
        await fill(database, [a_job("acme")])
        for make in (poll_again, sleep_until):
            assert await record(database, make(await read_job(database, "acme"), NOW))
        assert await history(database, "acme") == []

    async def test_cleared_failure_is_stored_as_none(self, database: Database) -> None:
        await fill(database, [a_job("acme", failure=FAILURE, hold=OPERATOR_HOLD)])
        outcome = poll_again(replace(await read_job(database, "acme"), hold=None), NOW)
        await record(database, outcome)
        after = await read_job(database, "acme")
        assert (after.failure, after.hold) == (None, None)

    async def test_outcome_does_not_change_the_run_of_a_job(self, database: Database) -> None:
        await fill(database, [a_job("acme")])
        outcome = poll_again(await read_job(database, "acme"), NOW)
        await fill(database, [a_job("acme")], run=replace(RUN, id=RunId("run-2")))
        assert await record(database, outcome)
        assert (await read_job(database, "acme")).run_id == "run-2"


class TestWakeUps:
    async def test_jobs_due_longest_come_first(self, database: Database) -> None:
        await fill(
            database,
            [
                a_job("now", wake_at=NOW),
                a_job("first", wake_at=NOW - 9),
                a_job("later", wake_at=NOW + 0.001),
                a_job("second", wake_at=NOW - 8),
                a_job("asleep", wake_at=None),
            ],
        )
        async with database.read() as connection:
            assert await jobs.list_due(connection, NOW, 9) == [(id_of(n), n) for n in ("first", "second", "now")]
            assert await jobs.list_due(connection, NOW, 2) == [(id_of(n), n) for n in ("first", "second")]
            assert await jobs.list_due(connection, NOW - 10, 9) == []
            assert await jobs.find_next_wake_at(connection) == NOW - 9

    async def test_next_wake_up_is_none_without_scheduled_jobs(self, database: Database) -> None:
        async with database.read() as connection:
            assert await jobs.find_next_wake_at(connection) is None
        await fill(database, [a_job("asleep", wake_at=None)])
        async with database.read() as connection:
            assert await jobs.find_next_wake_at(connection) is None

    @pytest.mark.parametrize("asleep_until", [None, NOW + 60])
    async def test_a_freed_slot_wakes_the_ready_jobs_of_its_account(
        self, database: Database, asleep_until: float | None
    ) -> None:
        waiting = [
            a_job("acme", id=JobId("ready"), state=JobState.READY, wake_at=asleep_until),
            a_job("acme", id=JobId("held"), state=JobState.READY, wake_at=None, hold=OPERATOR_HOLD),
            a_job("acme", id=JobId("busy"), state=JobState.PROCESSING, wake_at=NOW + 60),
            a_job("other", id=JobId("elsewhere"), state=JobState.READY, wake_at=NOW + 60),
        ]
        await fill(database, [a_job("acme", state=JobState.RUNNING), *waiting])
        ended = advance(await read_job(database, "acme"), JobEvent.REMOTE_SUCCEEDED, now=NOW)
        await record(database, ended, at=NOW + 1)
        async with database.read() as connection:
            due = [job_id for job_id, _ in await jobs.list_due(connection, NOW + 1, 9)]
        assert due == ["ready"]

    @pytest.mark.parametrize(
        ("state", "event"),
        [
            (s, e)
            for s in sorted(AT_PROVIDER_STATES)
            for e, after in TRANSITIONS[s].items()
            if after in TERMINAL_STATES
        ],
    )
    async def test_every_end_at_the_provider_frees_a_slot(
        self, database: Database, state: JobState, event: JobEvent
    ) -> None:
        waiting = a_job("acme", id=JobId("ready"), state=JobState.READY, wake_at=None)
        await fill(database, [a_job("acme", state=state, wake_at=None), waiting])
        ended = advance(await read_job(database, "acme"), event, now=NOW)
        await record(database, ended, at=NOW + 1)
        async with database.read() as connection:
            assert await jobs.list_due(connection, NOW + 1, 9) == [("ready", "acme")]

    async def test_job_that_ends_unsent_frees_no_slot(self, database: Database) -> None:
        waiting = a_job("acme", id=JobId("ready"), state=JobState.READY, wake_at=None)
        await fill(database, [a_job("acme", wake_at=None), waiting])
        ended = advance(await read_job(database, "acme"), JobEvent.CANCELLED, now=NOW)
        await record(database, ended, at=NOW + 1)
        assert set((await wakes(database)).values()) == {None}

    async def test_waking_the_unsent_jobs_of_a_run(self, database: Database) -> None:
        await fill(
            database,
            [a_job(state, state=state, wake_at=None) for state in JobState]
            + [a_job("held", wake_at=None, hold=OPERATOR_HOLD), a_job("soon", wake_at=NOW + 5)],
        )
        await database.write(lambda tx: jobs.wake_unsubmitted(tx, RUN.id, NOW))
        awake = {name for name, at in (await wakes(database)).items() if at == NOW}
        assert awake == {"planned", "uploading", "processing", "ready"}

    async def test_waking_an_account(self, database: Database) -> None:
        await fill(database, [a_job("acme", id=JobId(state), state=state, wake_at=None) for state in JobState])
        await database.write(lambda tx: jobs.wake_account(tx, "acme", NOW))
        async with database.read() as connection:
            awake = {JobState(job_id) for job_id, _ in await jobs.list_due(connection, NOW, 99)}
        assert awake == set(JobState) - TERMINAL_STATES

    async def test_a_step_that_began_before_the_wake_up_is_stale(self, database: Database) -> None:
        due, later = a_job("due"), a_job("later", state=JobState.UPLOADING, wake_at=NOW + 30)
        await fill(database, [due, later])
        rests = sleep_until(await read_job(database, "due"), None)
        uploads = poll_again(await read_job(database, "later"), NOW + 5)
        await database.write(lambda tx: jobs.wake_unsubmitted(tx, RUN.id, NOW))
        assert (await record(database, rests), await record(database, uploads)) == (False, True)
        assert await wakes(database) == {"due": NOW, "later": NOW + 5}

    async def test_a_held_job_sleeps_until_its_time(self, database: Database) -> None:
        await fill(database, [a_job("acme"), a_job("timed")])
        for account, reason in (("acme", OPERATOR_HOLD), ("timed", replace(OPERATOR_HOLD, until=NOW + 9))):
            outcome = hold_job(await read_job(database, account), reason)
            await record(database, outcome)
        assert await wakes(database) == {"acme": None, "timed": NOW + 9}


class TestAdd:
    async def test_new_jobs_are_returned_and_linked(self, database: Database) -> None:
        await fill(database, [a_job("a")])
        wanted = [a_job("a"), a_job("b")]
        await fill(database, [a_job("b", id=JobId("unused"))], run=replace(RUN, id=RunId("run-0")))
        new = await database.write(lambda tx: jobs.assign_to_run(tx, RUN.id, wanted))
        assert [job.account for job in new] == ["b"]
        assert await database.write(lambda tx: jobs.assign_to_run(tx, RUN.id, wanted)) == []
        async with database.read() as connection:
            assert [job.account for job in await jobs.list_by_run(connection, RUN.id)] == ["a", "b"]

    async def test_a_known_job_moves_and_stays_as_it_is(self, database: Database) -> None:
        done = a_job("a", state=JobState.SUCCEEDED, version=12, fine_tuned_model="ft:a", wake_at=None)
        await fill(database, [done])
        again = replace(RUN, id=RunId("run-2"), name="the same work, in another run")
        await fill(database, [a_job("a"), a_job("b", run_id=again.id)], run=again)
        assert await read_job(database, "a") == replace(done, run_id=again.id)
        async with database.read() as connection:
            in_each = [[job.account for job in await jobs.list_by_run(connection, run.id)] for run in (RUN, again)]
            links = (await connection.execute(select(func.count()).select_from(run_jobs))).scalar_one()
        assert (in_each, links) == ([["a"], ["a", "b"]], 3)

    async def test_a_run_that_comes_back_gets_its_jobs_back(self, database: Database) -> None:
        await fill(database, [a_job("a"), a_job("b")])
        await fill(database, [a_job("a")], run=replace(RUN, id=RunId("run-2")))
        await fill(database, [a_job("a"), a_job("b")])
        assert {(await read_job(database, name)).run_id for name in "ab"} == {RUN.id}

    async def test_more_jobs_than_a_statement_may_name(self, database: Database) -> None:
        many = [a_job("acme", id=JobId(f"job-{number}")) for number in range(1201)]
        await fill(database, many)
        async with database.read() as connection:
            found = await jobs.get_many(connection, [job.id for job in many] + [JobId("nobody")])
        assert found == {job.id: job for job in many}


async def test_jobs_of_accounts_include_every_run_in_order(database: Database) -> None:
    await fill(database, [a_job("a", id=JobId("later")), a_job("b"), a_job("c", id=JobId("c1"))])
    await fill(database, [a_job("a", id=JobId("earlier"))], run=replace(RUN, id=RunId("run-2")))
    async with database.read() as connection:
        found = await jobs.list_by_accounts(connection, ["c", "a", "nobody"])
        assert [job.id for job in found] == ["earlier", "later", "c1"]


async def test_plan_changes_only_unsent_or_held_jobs(database: Database) -> None:
    aside = Hold(HoldKind.BY_OPERATOR, "a reason", "a hint")
    states = {"a": JobState.PLANNED, "b": JobState.READY, "c": JobState.RUNNING, "d": JobState.SUCCEEDED}
    held = a_job("e", state=JobState.RUNNING, hold=aside)
    states["g"] = JobState.SUBMITTING  # it may not have been created yet
    await fill(database, [*(a_job(name, state=state) for name, state in states.items()), held])
    await fill(database, [a_job("f")], run=replace(RUN, id=RunId("run-2")))
    async with database.read() as connection:
        assert [job.account for job in await jobs.list_replannable(connection, RUN.id)] == ["a", "b", "e", "g"]


async def test_money_is_committed_when_a_job_is_submitted(database: Database) -> None:
    await fill(
        database,
        [
            a_job("a", id=JobId("a1"), estimated_usd=1.5, submitted_at=NOW),
            a_job("a", id=JobId("a2"), estimated_usd=2.0, submitted_at=NOW, state=JobState.FAILED, remote_job_id="j"),
            a_job("a", id=JobId("a3"), estimated_usd=4.0),
            a_job("b", estimated_usd=None, submitted_at=NOW),
            a_job("c", estimated_usd=8.0),
        ],
    )
    assert await committed(database) == {"a": CommittedSpend(3.5, 3.5, 3.5)}


async def committed(database: Database, since: float = 0.0) -> dict[str, CommittedSpend]:
    async with database.read() as connection:
        each = await costs.get_committed_by_account(connection, RUN.id, since)
        for account, usd in each.items():
            assert await costs.get_committed(connection, account, RUN.id, since) == usd
    return each


CREATES = [
    ({"state": JobState.SUBMITTING, "intent_until": NOW}, True),
    ({"state": JobState.SUBMITTING}, True),  # tried again without another look at the budget
    ({"state": JobState.FAILED}, False),  # refused: nothing was created
    ({"state": JobState.FAILED, "intent_until": NOW}, True),  # gave up, and nobody knows
    ({"state": JobState.FAILED, "remote_job_id": "ftjob-1"}, True),
    ({"state": JobState.CANCELLED, "intent_until": NOW}, False),  # it was looked for and is not there
    ({"state": JobState.CANCELLED, "remote_job_id": "ftjob-1"}, True),
]


@pytest.mark.parametrize(("changes", "counts"), CREATES)
async def test_a_create_that_was_refused_costs_nothing(
    database: Database, changes: dict[str, Any], counts: bool
) -> None:
    await fill(database, [a_job("a", estimated_usd=1.5, submitted_at=NOW, **changes)])
    assert await committed(database) == ({"a": CommittedSpend(1.5, 1.5, 1.5)} if counts else {})
    seen = await find_run_overview(database, NOW)
    assert seen is not None
    assert seen.submitted_usd == (1.5 if counts else 0)


async def test_what_is_committed_in_this_month_and_in_this_run(database: Database) -> None:
    await fill(database, [a_job("a", id=JobId("old"), estimated_usd=1.0, submitted_at=NOW)])
    await fill(
        database,
        [a_job("a", id=JobId("other"), run_id=RunId("run-2"), estimated_usd=2.0, submitted_at=NOW + 9)],
        replace(RUN, id=RunId("run-2"), current=False),
    )
    assert await committed(database, since=NOW + 5) == {"a": CommittedSpend(total=3.0, month=2.0, run=1.0)}


async def test_retry_keeps_the_committed_amount(database: Database) -> None:
    failed = a_job("a", state=JobState.FAILED, remote_job_id="ftjob-1", submitted_at=NOW - 9, estimated_usd=1.5)
    await fill(database, [failed])
    await control.retry(database, ["a"], by="someone", now=NOW)
    retried = await read_job(database, "a")
    assert (retried.round, retried.submitted_at, retried.earlier_usd) == (1, None, 1.5)
    assert await committed(database, since=NOW - 1) == {"a": CommittedSpend(1.5, 1.5, 1.5)}
    refused = advance(retried, JobEvent.FAILED, now=NOW, submitted_at=NOW)
    assert await record(database, refused)
    await control.retry(database, ["a"], by="someone", now=NOW)
    assert (await read_job(database, "a")).earlier_usd == 1.5, "a refused create adds nothing"


async def test_attempt_is_recorded_with_its_number(database: Database) -> None:
    await fill(database, [a_job("acme", attempts=4)])
    outcome = retry_later(
        await read_job(database, "acme"), FAILURE, until=NOW, counts_as_attempt=True, maybe_sent=False
    )
    await record(database, outcome)
    async with database.read() as connection:
        [entry] = await events.list_by_account(connection, "acme")
    assert (entry.attempt, entry.message) == (5, "rate_limited: slow down")
