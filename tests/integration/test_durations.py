"""How long the jobs of a run took, as the looks at the others are timed by it."""

from __future__ import annotations

from typing import Any

from store_values import NOW, RUN, a_job, fill

from orchestrator.core.account import ProviderName
from orchestrator.core.job import Job
from orchestrator.core.lifecycle import State
from orchestrator.core.polling import FEW, Span
from orchestrator.daemon.lasting import FRESH_SECONDS, Lasting
from orchestrator.store import durations
from orchestrator.store.database import Database


def succeeded(account: str, took: float, **changes: Any) -> Job:
    return a_job(account, state=State.SUCCEEDED, submitted_at=NOW, finished_at=NOW + took, **changes)


async def test_the_newest_durations_and_how_many_are_still_open(database: Database) -> None:
    ended = [succeeded(f"a{took}", took) for took in (30.0, 10.0, 20.0)]
    failed = a_job("failed", state=State.FAILED, submitted_at=NOW, finished_at=NOW + 1)
    elsewhere = succeeded("elsewhere", 99.0, provider=ProviderName.TOGETHER)
    waiting = [a_job("running", state=State.RUNNING, submitted_at=NOW), a_job("planned")]
    await fill(database, [*ended, failed, elsewhere, *waiting])
    async with database.read() as connection:
        took = await durations.of_run(connection, RUN.id, ProviderName.OPENAI, most=2)
    assert took == durations.Took([30.0, 20.0], ended=3, open=2)


async def test_what_others_took_says_when_a_job_may_end(database: Database) -> None:
    running = a_job("running", state=State.RUNNING, submitted_at=NOW, estimated_finish=NOW + 1000)
    await fill(database, [running])
    lasting = Lasting(database)
    assert await lasting.span(running, NOW) == Span(900.0, 1100.0)
    await fill(database, [succeeded(f"a{number}", 100.0) for number in range(FEW)])
    assert await lasting.span(running, NOW + 1) == Span(900.0, 1100.0)  # read a moment ago
    span = await lasting.span(running, NOW + FRESH_SECONDS)
    assert span is not None
    assert span.soonest < 100.0 < span.latest < 110.0
