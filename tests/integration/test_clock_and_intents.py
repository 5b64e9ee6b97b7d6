"""This machine's clock is set while a create is under way: the intent still lasts as long as the call."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from reconciler_values import make_reconciler, ready_job, verify_accounts
from store_values import fill, id_of, read_job

from orchestrator.app import SystemClock
from orchestrator.core.errors import UnknownOutcome
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.remote import RemoteJob, RemoteJobStatus
from orchestrator.core.structs import replace
from orchestrator.providers.base import Deadline, JobOrder
from orchestrator.store.db.database import Database

HOUR = 3600.0


class SetClock(SystemClock):
    """The machine's clocks; the wall clock can be set."""

    set_by = 0.0

    def now(self) -> float:
        return super().now() + self.set_by


class SlowClock(SystemClock):
    """The machine's clocks; time can pass at once."""

    passed = 0.0

    def now(self) -> float:
        return super().now() + self.passed

    def boottime(self) -> float:
        return super().boottime() + self.passed


class AnswerLosingProvider:
    """A provider whose answer to a create is lost. The clock is set meanwhile."""

    capabilities = SimpleNamespace(losses=False)

    def __init__(self, clock: SetClock, step: float) -> None:
        self._clock = clock
        self._step = step
        self.looked = self.created = 0

    async def find_jobs(self, _order: JobOrder) -> list[RemoteJob]:
        self.looked += 1
        return []

    async def create_job(self, _order: JobOrder, _deadline: Deadline) -> RemoteJob:
        self.created += 1
        self._clock.set_by += self._step
        raise UnknownOutcome("the answer was lost")


@pytest.mark.parametrize("step", [-HOUR, HOUR])
async def test_intent_with_unknown_outcome_lasts_as_long_as_its_call(database: Database, step: float) -> None:
    clock = SetClock()
    job = ready_job("acme", id_of("acme"))
    await fill(database, [job])
    await verify_accounts(database, ["acme"])
    await make_reconciler(database, {"acme": AnswerLosingProvider(clock, step)}, clock=clock).handle(job.id)
    found = await read_job(database, "acme")
    assert found.state is JobState.SUBMITTING
    assert found.intent_until is not None
    assert 20 < found.intent_until - clock.now() <= 30


@pytest.mark.parametrize("agreements", [0, 1])
async def test_no_intent_is_written_after_a_clock_change(database: Database, agreements: int) -> None:
    """Neither when it was set before the step, nor within it."""
    clock, answers = SetClock(), iter([True] * agreements)
    remote, job = AnswerLosingProvider(clock, 0.0), ready_job("acme", id_of("acme"))
    await fill(database, [job])
    await verify_accounts(database, ["acme"])
    moving = make_reconciler(
        database, {"acme": remote}, clock=clock, clock_agrees=lambda: next(answers, False), poll_min=0.01
    )
    await moving.handle(job.id)
    assert await read_job(database, "acme") == job
    assert (remote.looked, remote.created) == (0, 0)


async def test_intent_does_not_expire_by_a_clock_change(database: Database) -> None:
    """A cancel would end the job as one that was never created, though the create may still arrive."""
    clock = SetClock()
    now = clock.now()
    remote = AnswerLosingProvider(clock, 0.0)
    job = replace(
        ready_job("acme", id_of("acme")),
        state=JobState.SUBMITTING,
        cancel_asked=True,
        intent_until=now + 20,
        wake_at=now,
    )
    await fill(database, [job])
    await verify_accounts(database, ["acme"])
    clock.set_by = HOUR
    moving = make_reconciler(database, {"acme": remote}, clock=clock, clock_agrees=lambda: False, poll_min=0.01)
    await moving.handle(job.id)
    assert (await read_job(database, "acme")).state is JobState.SUBMITTING
    assert remote.looked == 0


class SlowListProvider:
    """A provider whose list of jobs takes longer than an intent lasts, and which accepts jobs."""

    capabilities = SimpleNamespace(losses=False)

    def __init__(self, clock: SlowClock) -> None:
        self._clock = clock
        self.created = 0

    async def find_jobs(self, _order: JobOrder) -> list[RemoteJob]:
        self._clock.passed += 40.0
        return []

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        assert deadline.seconds_left > 0
        self.created += 1
        return RemoteJob(
            id="ftjob-1",
            status=RemoteJobStatus.PENDING,
            raw_status="queued",
            training_file=order.training_file,
            base_model=order.spec.base_model,
        )


async def test_search_that_outlasts_the_intent_sends_nothing_and_has_more_time_at_the_next_attempt(
    database: Database,
) -> None:
    clock = SlowClock()
    remote, job = SlowListProvider(clock), ready_job("acme", id_of("acme"))
    await fill(database, [job])
    await verify_accounts(database, ["acme"])
    reconciler = make_reconciler(database, {"acme": remote}, clock=clock)
    await reconciler.handle(job.id)
    found = await read_job(database, "acme")
    assert remote.created == 0
    assert (found.state, found.attempts, found.intent_until) == (JobState.SUBMITTING, 1, None)
    assert found.failure is not None
    assert found.failure.kind == "search_too_slow"
    assert found.wake_at is not None
    clock.passed += found.wake_at - clock.now()
    await reconciler.handle(job.id)
    found = await read_job(database, "acme")
    assert (found.state, found.remote_job_id, remote.created) == (JobState.QUEUED, "ftjob-1", 1)
