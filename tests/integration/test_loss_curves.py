"""Loss curves of a run in both databases: averaged to the same steps, with the last value of each loss."""

from __future__ import annotations

from functools import partial

import pytest
from store_values import NOW, a_job, fill, id_of

from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.loss import MAX_STEP, Loss
from orchestrator.status import find_loss_overview
from orchestrator.status.losses import SUMMARY_POINTS
from orchestrator.store.db.database import Database
from orchestrator.store.queries import losses


async def add(database: Database, account: str, curve: list[Loss]) -> None:
    await database.write(partial(losses.add, job_id=id_of(account), reported=curve))


async def test_curves_are_averaged_to_the_same_steps(database: Database) -> None:
    names = [f"b{number}" for number in range(6)]
    await fill(database, [a_job(name) for name in names])
    for number, name in enumerate(names):
        points = range(1, 301, number + 1)  # providers report every step, every second step, ...
        await add(database, name, [Loss(step, step / 100, step / 50 if step % 10 == 1 else None) for step in points])
    found = await find_loss_overview(database, JobFilter(text="b"), NOW, limit=100)
    assert found is not None
    assert (found.total, found.curve_count) == (6, 6)
    steps = [point.step for point in found.summary.training]
    assert steps == [5 * number for number in range(1, SUMMARY_POINTS + 1)]
    first, last = found.summary.training[0], found.summary.training[-1]
    assert first.accounts == 6
    assert first.low < first.median < first.high
    assert first.median == pytest.approx(0.02, abs=0.01)
    assert last.median == pytest.approx(2.98, abs=0.02)
    assert found.summary.validation


async def test_last_value_of_each_loss_is_listed(database: Database) -> None:
    await fill(database, [a_job(name) for name in ("b", "c", "d", "e")])
    await add(database, "b", [Loss(1, 0.9, 1.0), Loss(2, 0.8), Loss(7, 0.7)])
    await add(database, "c", [Loss(3, None, 0.5)])
    await add(database, "d", [Loss(MAX_STEP, 0.1)])
    found = await find_loss_overview(database, JobFilter(), NOW, limit=100)
    assert found is not None
    assert [(each.account, each.step, each.training, each.validation) for each in found.last_losses] == [
        ("b", 7, 0.7, 1.0),
        ("c", 3, None, 0.5),
        ("d", MAX_STEP, 0.1, None),
    ]
    first = await find_loss_overview(database, JobFilter(), NOW, limit=1)
    assert first is not None
    assert ([each.account for each in first.last_losses], first.curve_count) == (["b"], 3)


async def test_curves_of_an_unknown_run_are_none(database: Database) -> None:
    assert await find_loss_overview(database, JobFilter(), NOW, run_id="nowhere", limit=5) is None
