"""This machine's clock is set while a create is under way: the intent still lasts as long as the call."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from reconciling import ready, reconciler, verify
from store_values import fill, id_of, read_job

from orchestrator.app import SystemClock
from orchestrator.core.errors import UnknownOutcome
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.remote import RemoteJob
from orchestrator.providers.base import Deadline, JobOrder
from orchestrator.store.db.database import Database

HOUR = 3600.0


class SetClock(SystemClock):
    """The machine's clocks; the wall clock can be set."""

    set_by = 0.0

    def now(self) -> float:
        return super().now() + self.set_by


class LosesAnswers:
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
async def test_an_intent_whose_outcome_is_unknown_lasts_as_long_as_its_call(database: Database, step: float) -> None:
    clock = SetClock()
    job = ready("acme", id_of("acme"))
    await fill(database, [job])
    await verify(database, ["acme"])
    await reconciler(database, {"acme": LosesAnswers(clock, step)}, clock=clock).handle(job.id)
    found = await read_job(database, "acme")
    assert found.state is JobState.SUBMITTING
    assert found.intent_until is not None
    assert 20 < found.intent_until - clock.now() <= 30


@pytest.mark.parametrize("agreements", [0, 1])
async def test_no_intent_is_written_by_a_clock_that_was_set(database: Database, agreements: int) -> None:
    """Neither when it was set before the step, nor within it."""
    clock, answers = SetClock(), iter([True] * agreements)
    remote, job = LosesAnswers(clock, 0.0), ready("acme", id_of("acme"))
    await fill(database, [job])
    await verify(database, ["acme"])
    moving = reconciler(
        database, {"acme": remote}, clock=clock, clock_agrees=lambda: next(answers, False), poll_min=0.01
    )
    await moving.handle(job.id)
    assert await read_job(database, "acme") == job
    assert (remote.looked, remote.created) == (0, 0)


async def test_an_intent_is_not_believed_to_be_over_by_a_clock_that_was_set(database: Database) -> None:
    """A cancel would end the job as one that was never created, though the create may still arrive."""
    clock = SetClock()
    now = clock.now()
    remote = LosesAnswers(clock, 0.0)
    job = replace(
        ready("acme", id_of("acme")), state=JobState.SUBMITTING, cancel_asked=True, intent_until=now + 20, wake_at=now
    )
    await fill(database, [job])
    await verify(database, ["acme"])
    clock.set_by = HOUR
    moving = reconciler(database, {"acme": remote}, clock=clock, clock_agrees=lambda: False, poll_min=0.01)
    await moving.handle(job.id)
    assert (await read_job(database, "acme")).state is JobState.SUBMITTING
    assert remote.looked == 0
