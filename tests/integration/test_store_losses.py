from __future__ import annotations

from functools import partial

from store_values import NOW, a_job, fill, id_of, read_job

from orchestrator.core.errors import Failure
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.loss import MAX_CURVE_POINTS, Loss
from orchestrator.core.jobs.transitions import advance
from orchestrator.status import list_job_losses
from orchestrator.store.db.database import Database
from orchestrator.store.queries import losses, outcomes

CURVE = [Loss(1, 0.9), Loss(2, 0.7, 0.8)]


async def test_curve_grows_and_belongs_to_its_account(database: Database) -> None:
    await fill(database, [a_job("acme"), a_job("beta")])
    await database.write(lambda tx: losses.add(tx, id_of("acme"), CURVE))
    await database.write(lambda tx: losses.add(tx, id_of("acme"), [Loss(2, 0.7, 0.8), Loss(3, 0.6)]))
    whole = [*CURVE, Loss(3, 0.6)]
    assert await list_job_losses(database, id_of("acme")) == whole
    assert await list_job_losses(database, id_of("beta")) == []


async def test_long_curve_stays_bounded(database: Database) -> None:
    await fill(database, [a_job("acme")])
    told = [Loss(step, 1 / step) for step in range(1, 3001)]
    for start in range(0, 3000, 300):
        await database.write(partial(losses.add, job_id=id_of("acme"), reported=told[start : start + 300]))
    curve = await list_job_losses(database, id_of("acme"))
    assert MAX_CURVE_POINTS // 4 <= len(curve) <= MAX_CURVE_POINTS
    assert (curve[0].step, curve[-1].step) == (1, 3000)


async def test_retried_job_has_a_new_curve(database: Database) -> None:
    failure = Failure("job_failed", "loss is NaN", "retry")
    await fill(database, [a_job("acme", state=JobState.FAILED, failure=failure, wake_at=None)])
    await database.write(lambda tx: losses.add(tx, id_of("acme"), CURVE))
    retried = advance(await read_job(database, "acme"), JobEvent.RETRIED, now=NOW)
    assert await database.write(lambda tx: outcomes.record(tx, retried, at=NOW, cause="test"))
    assert await list_job_losses(database, id_of("acme")) == []
