"""Which outcomes schedule a wake-up. SQLite drops wake-ups, so only this shows that PostgreSQL's queue gets them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import structlog
from store_values import NOW, a_job, fill

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.clock import Clock
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.transitions import advance, poll_again, request_cancel
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import replace
from orchestrator.daemon.outcome_recorder import OutcomeRecorder
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction, WakeUp
from orchestrator.store.queries import outcomes

AT = NOW + 5
ACCOUNT = Account(name="acme", provider=ProviderName.OPENAI, api_key="env:KEY", max_running_jobs=1)


class FixedClock(Clock):
    def now(self) -> float:
        return AT

    def boottime(self) -> float:
        return 5.0


@pytest.fixture
def scheduled(monkeypatch: pytest.MonkeyPatch) -> list[WakeUp]:
    """The wake-ups that transactions schedule."""
    collected: list[WakeUp] = []

    def schedule(self: Transaction, wake_ups: Iterable[WakeUp]) -> None:
        collected.extend(wake_ups)

    monkeypatch.setattr(Transaction, "schedule_wake_ups", schedule)
    return collected


def create_recorder(database: Database) -> OutcomeRecorder:
    return OutcomeRecorder(
        database, {}, redact=Redactor(), clock=FixedClock(), replica="replica-1", log=structlog.get_logger()
    )


@pytest.mark.parametrize(
    ("wake_at", "of_service", "of_others"),
    [
        (None, False, False),
        (NOW, False, True),  # due: the service continues with the job by itself, everybody else needs it to be woken
        (AT, False, True),
        (AT + 0.001, True, True),
    ],
)
async def test_wake_up_is_scheduled_unless_the_caller_continues(
    database: Database, scheduled: list[WakeUp], wake_at: float | None, of_service: bool, of_others: bool
) -> None:
    job = a_job("acme", state=JobState.RUNNING, wake_at=NOW)
    await fill(database, [job])
    scheduled.clear()
    first = replace(poll_again(job, AT), job=replace(poll_again(job, AT).job, wake_at=wake_at))
    expected = [] if wake_at is None else [WakeUp(job.id, "acme", wake_at)]

    recorded = await create_recorder(database).record(first)
    assert scheduled == (expected if of_service else [])

    scheduled.clear()
    second = replace(first, job=replace(recorded, version=recorded.version + 1))
    assert await database.write(lambda tx: outcomes.record(tx, second, at=AT, cause="operator:ada"))
    assert scheduled == (expected if of_others else [])


@pytest.mark.parametrize("limits", [{}, {"limits_of": ACCOUNT}])
async def test_end_of_an_intent_is_found_by_the_sweep(
    database: Database, scheduled: list[WakeUp], limits: dict[str, Any]
) -> None:
    job = a_job("acme", state=JobState.READY)
    await fill(database, [job])
    scheduled.clear()
    intent = advance(job, JobEvent.SUBMIT_STARTED, now=NOW, intent_until=NOW + 30, wake_at=NOW + 30)
    await create_recorder(database).record(intent, **limits)
    assert scheduled == []


async def test_rebased_answer_is_continued_by_its_caller(database: Database, scheduled: list[WakeUp]) -> None:
    job = a_job("acme", state=JobState.SUBMITTING, intent_until=NOW + 30, wake_at=NOW + 30)
    await fill(database, [job])
    requested = request_cancel(job, now=NOW)
    assert await database.write(lambda tx: outcomes.record(tx, requested, at=NOW, cause="operator:ada"))
    scheduled.clear()
    created = advance(job, JobEvent.REMOTE_CREATED, now=NOW, remote_job_id="ftjob-1")
    recorded = await create_recorder(database).record(created, rebase_on_cancel=True)
    assert recorded.cancel_asked
    assert recorded.wake_at is not None
    assert recorded.wake_at <= AT
    assert scheduled == []
