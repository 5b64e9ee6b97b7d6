"""Comparisons that the service starts by the schedule of a run: once each, and never beside another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from itertools import count

import structlog
from store_values import RUN, fill
from structlog.testing import capture_logs

from orchestrator.control.comparisons import PlannedComparison
from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings, ComparisonState
from orchestrator.core.errors import ConfigError, DatabaseUnavailable
from orchestrator.core.structs import replace
from orchestrator.daemon.comparisons.comparison_starter import ComparisonStarter, build_scheduled_id
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import comparison_records

LINE = "0 6 * * mon"
DUE = datetime.fromisoformat("2026-11-30T06:00:00+00:00").timestamp()
WEEK = 7 * 86_400.0
NUMBERS = count()


async def plan(_run_name: str) -> PlannedComparison:
    comparison = Comparison(
        id=f"{next(NUMBERS):016}",
        run_id=RUN.id,
        state=ComparisonState.ASKING,
        created_at=0.0,
        created_by="",
        settings=ComparisonSettings(max_usd=2),
        models=(),
        probe_set="f" * 64,
        probe_ids=("p1",),
        max_output_tokens=64,
    )
    return PlannedComparison(comparison=comparison, run_name=RUN.name, requests=6, usd=0.5)


async def refuse(_run_name: str) -> PlannedComparison:
    raise ConfigError("the comparison may cost $3.00, more than max_usd ($2.00)")


def create_starter(database: Database, now: Callable[[], float]) -> ComparisonStarter:
    return ComparisonStarter(database, plan=plan, now=now, log=structlog.get_logger())


async def list_stored(database: Database) -> list[Comparison]:
    async with database.read() as connection:
        return await comparison_records.list_by_run(connection, RUN.id, 10)


async def finish(database: Database, comparison: Comparison, at: float) -> None:
    ended = replace(comparison, state=ComparisonState.STOPPED, message="for the test", finished_at=at)
    await database.write(lambda tx: comparison_records.finish(tx, ended, at=at, cause="service"))


async def test_two_replicas_request_one_comparison(database: Database, database_url: str) -> None:
    await fill(database, [])
    other = Database(database_url)
    early, late = create_starter(database, lambda: DUE + 0.01), create_starter(other, lambda: DUE + 90)
    await asyncio.gather(early.start(RUN.name, LINE), late.start(RUN.name, LINE))
    [stored] = await list_stored(database)
    assert (stored.id, stored.created_by) == (build_scheduled_id(RUN.id, DUE), "schedule")
    assert stored.claimed_by is None  # the worker of any replica asks
    with capture_logs() as logs:
        await ComparisonStarter(other, plan=refuse, now=lambda: DUE + 30, log=structlog.get_logger()).start(
            RUN.name, LINE
        )
    assert not logs  # it is not planned again, which would report that it runs
    await finish(database, stored, DUE + 60)
    await late.start(RUN.name, LINE)
    assert len(await list_stored(database)) == 1
    await other.close()
    await create_starter(database, lambda: DUE + WEEK).start(RUN.name, LINE)
    assert len(await list_stored(database)) == 2


async def test_comparison_that_was_due_during_an_outage_is_started_after_it(database: Database) -> None:
    await fill(database, [])
    outages = [True, True, False]

    async def plan_after_outage(run_name: str) -> PlannedComparison:
        if outages.pop(0):
            raise DatabaseUnavailable("the database does not answer")
        return await plan(run_name)

    now = DUE
    starter = ComparisonStarter(database, plan=plan_after_outage, now=lambda: now, log=structlog.get_logger())
    with capture_logs() as logs:
        await starter.start(RUN.name, LINE)
        await starter.start_missed()
        assert await list_stored(database) == []
        starter.set_schedule(RUN.name, LINE)  # a reload that changes nothing
        now = DUE + 1800
        await starter.start_missed()
    [stored] = await list_stored(database)
    assert (stored.id, logs) == (build_scheduled_id(RUN.id, DUE), [])
    await starter.start_missed()
    assert (len(await list_stored(database)), outages) == (1, [])


async def test_comparison_that_was_due_during_a_long_outage_is_reported(database: Database) -> None:
    await fill(database, [])

    async def plan_in_outage(_run_name: str) -> PlannedComparison:
        raise DatabaseUnavailable("the database does not answer")

    now = DUE
    starter = ComparisonStarter(database, plan=plan_in_outage, now=lambda: now, log=structlog.get_logger())
    with capture_logs() as logs:
        for now in (DUE, DUE + 1800, DUE + 3601, DUE + 7200):
            await (starter.start(RUN.name, LINE) if now == DUE else starter.start_missed())
    [entry] = logs
    assert (entry["event"], entry["name"]) == ("comparison.not_started", RUN.name)
    assert "did not answer" in entry["message"]


async def test_comparison_that_was_due_during_an_outage_is_forgotten_with_its_line(database: Database) -> None:
    await fill(database, [])

    async def plan_in_outage(_run_name: str) -> PlannedComparison:
        raise DatabaseUnavailable("the database does not answer")

    starter = ComparisonStarter(database, plan=plan_in_outage, now=lambda: DUE, log=structlog.get_logger())
    await starter.start(RUN.name, LINE)
    starter.set_schedule(RUN.name, None)
    starter._plan = plan
    await starter.start_missed()
    assert await list_stored(database) == []


async def test_none_is_started_while_another_is_open(database: Database) -> None:
    await fill(database, [])
    other = (await plan("")).comparison
    await database.write(lambda tx: comparison_records.add(tx, other))
    starter = create_starter(database, lambda: DUE)
    with capture_logs() as logs:
        await starter.start(RUN.name, LINE)
    assert [each.id for each in await list_stored(database)] == [other.id]
    [entry] = logs
    assert (entry["event"], entry["name"]) == ("comparison.not_started", RUN.name)
    assert f"are being compared already (comparison {other.id})" in entry["message"]


async def test_comparison_that_cannot_be_planned_is_not_started(database: Database) -> None:
    await fill(database, [])
    starter = ComparisonStarter(database, plan=refuse, now=lambda: DUE, log=structlog.get_logger())
    with capture_logs() as logs:
        await starter.start(RUN.name, LINE)
    assert "max_usd" in logs[0]["message"]
    assert await list_stored(database) == []
